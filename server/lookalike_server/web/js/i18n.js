/** Speaks the shopper's language. Messages lie in /messages, one file a language; numbers are the browser's business. */

export const LANGUAGES = {
  en: "English", ko: "한국어", ja: "日本語", zh: "中文", es: "Español", pt: "Português", fr: "Français", de: "Deutsch",
  it: "Italiano", nl: "Nederlands", pl: "Polski", cs: "Čeština", sv: "Svenska", ru: "Русский", tr: "Türkçe",
  ar: "العربية", he: "עברית", hi: "हिन्दी", id: "Bahasa Indonesia", vi: "Tiếng Việt",
};
const RIGHT_TO_LEFT = new Set(["ar", "he"]);
const KEY = "lookalike.language";

let messages = {};
export let language = "en";
/** The same with the shopper's region, for numbers. */
export let locale = "en";

/** Return the language that was chosen, else the first of the browser's that there is, else English. */
export function preferred() {
  const wanted = [localStorage.getItem(KEY), ...navigator.languages].filter(Boolean).map((tag) => tag.split("-")[0]);
  return wanted.find((tag) => tag in LANGUAGES) ?? "en";
}

/** Speak `tag` from now on. */
export async function speak(tag) {
  const answer = await fetch(`/messages/${tag}.json`);
  messages = await answer.json();
  language = tag;
  locale = navigator.languages.find((one) => one.split("-")[0] === tag) ?? tag;
  document.documentElement.lang = tag;
  document.documentElement.dir = RIGHT_TO_LEFT.has(tag) ? "rtl" : "ltr";
  translate(document);
}

/** Remember a choice, then speak it. */
export function choose(tag) {
  localStorage.setItem(KEY, tag);
  return speak(tag);
}

/** Return a message with its {places} filled. */
export function t(key, values = {}) {
  return (messages[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Fill every element that names a message. */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", t(element.dataset.label));
    element.title = t(element.dataset.label);
  }
}

export const number = (value, options) => new Intl.NumberFormat(locale, options).format(value);

/** Write how long something took. */
export const seconds = (ms) => {
  const digits = ms < 9950 ? 2 : 0;
  return number(ms / 1000, { style: "unit", unit: "second", minimumFractionDigits: digits, maximumFractionDigits: digits });
};
