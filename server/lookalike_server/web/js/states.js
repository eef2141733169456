/** Shows how things stand when there are no results to show, or not all of them. */

import { $, icon, make, say } from "./dom.js";
import { number, t } from "./i18n.js";

const STATES = {
  none: "search", weak: "search", away: "cloud", busy: "cloud", notimage: "picture", large: "picture", bag: "bag", gone: "search",
};
const REASONS = {
  AWAY: "away", UNSUPPORTED_FORMAT: "notimage", CORRUPT_IMAGE: "notimage", IMAGE_TOO_SMALL: "notimage",
  IMAGE_TOO_LARGE: "large", BODY_TOO_LARGE: "large", PRODUCT_NOT_FOUND: "gone",
};

/** Return which state a refusal is. */
export const stateOf = (error) => REASONS[error.reason] ?? (error.status >= 500 || error.status === 429 ? "busy" : "away");

/** Show a state under a heading; `actions` are [message, listener], the first being the one to take. */
export function show(kind, actions = [], heading = "h2") {
  const buttons = actions.map(([key, click], i) =>
    make("button", { type: "button", className: i ? "quiet" : "primary", on: { click } }, t(key)));
  $("state").replaceChildren(make("div", { className: "state", data: { state: kind } },
    icon(STATES[kind]), make(heading, {}, t(`state.${kind}.title`)), make("p", {}, t(`state.${kind}.text`)),
    make("div", { className: "row" }, ...buttons)));
  say(`${t(`state.${kind}.title`)}. ${t(`state.${kind}.text`)}`);
}

export const clear = () => { $("state").replaceChildren(); $("notice").replaceChildren(); };

/** Say that part of the shop did not answer. */
export function showPart(fraction, retry) {
  const percent = number(Math.floor(fraction * 100) / 100, { style: "percent" });
  notice("part", t("state.part.title"), t("state.part.text", { percent }), ["retry", retry]);
}

/** Say that what follows is not quite what was asked for. */
export const showWeak = () => notice("search", t("state.weak.title"), t("state.weak.text"), null);

function notice(image, title, text, action) {
  const button = action ? make("button", { type: "button", on: { click: action[1] } }, t(action[0])) : null;
  $("notice").append(make("div", { className: "notice", data: { notice: image } }, icon(image), make("div", {}, make("b", {}, title), text), button));
  say(`${title}. ${text}`);
}
