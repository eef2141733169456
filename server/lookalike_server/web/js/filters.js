/** Lets the shopper narrow the results: what may be chosen comes with counts, what is chosen becomes a filter. */

import { $, icon, make } from "./dom.js";
import { number, t } from "./i18n.js";
import { currency, minorIn, converted, written } from "./money.js";

export const EMPTY = { categories: [], brands: [], from: null, to: null, stock: false };

export const count = (chosen) =>
  chosen.categories.length + chosen.brands.length + (chosen.from !== null || chosen.to !== null ? 1 : 0) + (chosen.stock ? 1 : 0);

/** Return the currency that bounds are typed in. */
export const unit = (facets) => currency() || facets?.prices?.[0]?.currencyCode || "";

/** Write what was chosen as the API's filter; undefined where nothing was. */
export function filterOf(chosen, facets) {
  const all = [];
  const inList = (field, values) => all.push({ inList: { field, values: values.map((text) => ({ text })) } });
  if (chosen.categories.length) inList("category", chosen.categories);
  if (chosen.brands.length) inList("brand", chosen.brands);
  if (chosen.stock) all.push({ compare: { field: "in_stock", value: { truth: true } } });
  if (chosen.from !== null || chosen.to !== null) all.push(priced(chosen, facets));
  if (!all.length) return undefined;
  return all.length === 1 ? all[0] : { allOf: { filters: all } };
}

/** Bounds hold in each of the shop's currencies, converted. */
function priced(chosen, facets) {
  const any = (facets?.prices ?? []).flatMap(({ currencyCode }) => {
    const range = { field: "price_minor" };
    const bound = (amount) => minorIn(amount, unit(facets), currencyCode);
    if (chosen.from !== null) range.atLeast = Math.floor(bound(chosen.from) ?? 0);
    if (chosen.to !== null) range.atMost = Math.ceil(bound(chosen.to) ?? Number.MAX_SAFE_INTEGER);
    const own = { compare: { field: "currency", value: { text: currencyCode } } };
    return [{ allOf: { filters: [own, { range }] } }];
  });
  if (!any.length) return { range: { field: "price_minor", atLeast: 0 } };
  return any.length === 1 ? any[0] : { anyOf: { filters: any } };
}

/** Write what was chosen into a link's parameters, and read it back. */
export function toParams(chosen, params) {
  for (const value of chosen.categories) params.append("category", value);
  for (const value of chosen.brands) params.append("brand", value);
  if (chosen.from !== null) params.set("from", chosen.from);
  if (chosen.to !== null) params.set("to", chosen.to);
  if (chosen.stock) params.set("stock", "1");
}

const bound = (text) => (text === null || text === "" || !Number.isFinite(Number(text)) ? null : Math.max(0, Number(text)));

export const fromParams = (params) => ({
  categories: params.getAll("category"), brands: params.getAll("brand"), from: bound(params.get("from")), to: bound(params.get("to")),
  stock: params.get("stock") === "1",
});

/** Show what is chosen as chips that take it back. */
export function drawActive(chosen, facets, change) {
  const chips = [];
  const chip = (text, without) => chips.push(make("button", {
    type: "button", className: "chip", ariaLabel: `${t("clear")}: ${text}`, on: { click: () => change({ ...chosen, ...without }) },
  }, text, icon("close")));
  for (const value of chosen.categories) chip(value, { categories: chosen.categories.filter((one) => one !== value) });
  for (const value of chosen.brands) chip(value, { brands: chosen.brands.filter((one) => one !== value) });
  if (chosen.from !== null || chosen.to !== null) chip(spanText(chosen, facets), { from: null, to: null });
  if (chosen.stock) chip(t("filters.stock"), { stock: false });
  $("active").replaceChildren(...chips);
  $("filter-count").hidden = !count(chosen);
  $("filter-count").textContent = number(count(chosen));
}

function spanText({ from, to }, facets) {
  const code = unit(facets);
  const amount = (value) => (code ? written(value, code) : number(value));
  if (from === null) return `≤ ${amount(to)}`;
  return to === null ? `≥ ${amount(from)}` : `${amount(from)} – ${amount(to)}`;
}

/** Open the dialog; `done` hears what was chosen. */
export function open(chosen, facets, done) {
  const dialog = $("filters");
  const code = unit(facets);
  const from = bounds("filters.from", chosen.from, spanEdge(facets, code, "leastMinor", Math.min));
  const to = bounds("filters.to", chosen.to, spanEdge(facets, code, "mostMinor", Math.max));
  const stock = make("input", { type: "checkbox", checked: chosen.stock });
  const categories = options(t("filters.category"), facets.categories, chosen.categories);
  const brands = options(t("filters.brand"), facets.brands, chosen.brands);
  const read = () => ({
    categories: picked(categories), brands: picked(brands), stock: stock.checked,
    from: bound(from.querySelector("input").value), to: bound(to.querySelector("input").value),
  });
  const finish = (value) => { dialog.close(); done(value); };
  dialog.replaceChildren(
    head("filters-title", t("filters"), dialog),
    make("div", { className: "dialog-body" }, categories, brands,
      make("fieldset", {},
        make("legend", {}, code ? `${t("filters.price")} (${code})` : t("filters.price")),
        make("div", { className: "pair" }, from, to)),
      make("label", { className: "switch" }, stock, make("span", {}, t("filters.stock"), " ", make("small", {}, number(facets.inStock))))),
    make("div", { className: "dialog-foot" },
      make("button", { type: "button", className: "quiet", id: "filters-clear", on: { click: () => finish({ ...EMPTY }) } }, t("clear")),
      make("button", { type: "button", className: "primary", id: "filters-apply", on: { click: () => finish(read()) } }, t("apply"))));
  dialog.showModal();
}

/** Return the head of a dialog with its way out. */
export function head(id, title, dialog) {
  return make("div", { className: "dialog-head" }, make("h2", { id }, title),
    make("button", { type: "button", className: "round", ariaLabel: t("close"), on: { click: () => dialog.close() } }, icon("close")));
}

function bounds(key, value, hint) {
  return make("label", { className: "field" }, make("span", {}, t(key)),
    make("input", { type: "number", inputMode: "decimal", min: "0", step: "any", value: value ?? "", placeholder: hint }));
}

function spanEdge(facets, code, edge, choose) {
  const amounts = facets.prices.map((span) => converted(span[edge], span.currencyCode, code)).filter((one) => one !== null);
  if (!amounts.length) return "";
  return number(edge === "leastMinor" ? Math.floor(choose(...amounts)) : Math.ceil(choose(...amounts)));
}

function options(title, values, chosen) {
  const known = new Map(values.map(({ value, products }) => [value, products]));
  for (const value of chosen) if (!known.has(value)) known.set(value, 0);
  const all = [...known].map(([value, products]) => {
    const label = `${value}, ${number(products)}`;
    const input = make("input", { type: "checkbox", value, checked: chosen.includes(value), ariaLabel: label });
    const text = make("span", { ariaHidden: "true" }, value, make("small", {}, number(products)));
    return make("label", { className: "option" }, input, text);
  });
  return make("fieldset", {}, make("legend", {}, title), make("div", { className: "options" }, ...all));
}

const picked = (fieldset) => [...fieldset.querySelectorAll("input:checked")].map((input) => input.value);
