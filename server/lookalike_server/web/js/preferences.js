/** Lets the shopper choose language, currency and light. Kept on this phone. */

import { $, make } from "./dom.js";
import { head } from "./filters.js";
import { LANGUAGES, choose, language, t } from "./i18n.js";
import { chooseCurrency, currencies, currency } from "./money.js";

const KEY = "lookalike.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

const theme = () => localStorage.getItem(KEY) ?? "auto";

/** Light or dark, as was chosen or as the phone is. */
export function light() {
  const chosen = theme();
  document.documentElement.dataset.theme = chosen === "auto" ? (dark.matches ? "dark" : "light") : chosen;
}
dark.addEventListener("change", light);

/** Open the dialog; `changed` hears of every choice. */
export function open(changed) {
  const dialog = $("preferences");
  const names = new Intl.DisplayNames(language, { type: "currency" });
  const draw = () => {
    const money = Object.fromEntries([["", t("currency.own")], ...currencies().map((code) => [code, `${code} · ${names.of(code)}`])]);
    const themes = Object.fromEntries(["auto", "light", "dark"].map((one) => [one, t(`theme.${one}`)]));
    dialog.replaceChildren(
      head("preferences-title", t("settings"), dialog),
      make("div", { className: "dialog-body" },
        select("language", LANGUAGES, language, async (value) => { await choose(value); changed(); draw(); $("choose-language").focus(); }),
        currencies().length ? select("currency", money, currency(), (value) => { chooseCurrency(value); changed(); }) : null,
        select("theme", themes, theme(), (value) => { localStorage.setItem(KEY, value); light(); })));
  };
  draw();
  dialog.showModal();
}

function select(key, choices, chosen, change) {
  const options = Object.entries(choices).map(([value, text]) =>
    make("option", { value, selected: value === chosen, lang: key === "language" ? value : "" }, text));
  const element = make("select", { id: `choose-${key}`, on: { change: (event) => change(event.target.value) } }, ...options);
  return make("label", { className: "field" }, make("span", {}, t(key)), element);
}
