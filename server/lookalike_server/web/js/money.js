/** Writes prices in the shopper's currency, by the operator's rates where there are any. */

import { locale } from "./i18n.js";

const KEY = "lookalike.currency";

let rates = null;

/** Take the operator's rates: {base, as_of, rates}, or null. */
export const useRates = (told) => { rates = told; };

export const asOf = () => rates?.as_of ?? "";
export const currencies = () => (rates ? Object.keys(rates.rates).sort() : []);

/** Return the currency that was chosen; empty: the shop's own. */
export function currency() {
  const chosen = localStorage.getItem(KEY) ?? "";
  return currencies().includes(chosen) ? chosen : "";
}

export const chooseCurrency = (code) => localStorage.setItem(KEY, code);

const digits = (code) => new Intl.NumberFormat("en", { style: "currency", currency: code }).resolvedOptions().maximumFractionDigits;

/** Return an amount in minor units of `from` as units of `to`; null where no rate is known. */
export function converted(minor, from, to) {
  const amount = Number(minor) / 10 ** digits(from);
  if (from === to) return amount;
  if (!rates?.rates[from] || !rates.rates[to]) return null;
  return (amount / rates.rates[from]) * rates.rates[to];
}

/** Return units of `from` as minor units of `to`; null where no rate is known. */
export function minorIn(amount, from, to) {
  if (from !== to && (!rates?.rates[from] || !rates.rates[to])) return null;
  const units = from === to ? amount : (amount / rates.rates[from]) * rates.rates[to];
  return units * 10 ** digits(to);
}

/** Write a price {amountMinor, currencyCode}. */
export function price(told) {
  const to = currency() || told.currencyCode;
  const amount = converted(told.amountMinor, told.currencyCode, to);
  return amount === null ? written(converted(told.amountMinor, told.currencyCode, told.currencyCode), told.currencyCode) : written(amount, to);
}

export const written = (amount, code) => new Intl.NumberFormat(locale, { style: "currency", currency: code }).format(amount);

/** Return a price as a number to sort by. */
export function comparable(told) {
  const base = rates?.base ?? told.currencyCode;
  return converted(told.amountMinor, told.currencyCode, base) ?? Number(told.amountMinor);
}
