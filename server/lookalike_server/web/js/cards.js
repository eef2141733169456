/** Shows products as cards. Knows no search. */

import { picture } from "./api.js";
import * as bag from "./bag.js";
import { $, icon, make, toast } from "./dom.js";
import * as events from "./events.js";
import { language, t } from "./i18n.js";
import { price } from "./money.js";

let onLike = () => {};

export const listen = (listener) => { onLike = listener; };

/** Return a product's title in the shopper's language, where the catalogue has it. */
export const titleOf = (product) => product.attributes?.[`title_${language}`] || product.title || product.productId;

/** Return a card for a hit {product, match?, sameProbability?}; `position` is its place in the answer, from 1. */
export function card(hit, position, searchId) {
  const { product } = hit;
  const out = product.inStock === false;
  const words = make("div", { className: "words" },
    product.brand ? make("p", { className: "brand" }, product.brand) : null,
    make("h2", {}, titleLink(product, position, searchId)),
    product.price ? make("p", { className: "price" }, price(product.price)) : null,
    out ? make("p", { className: "stock" }, t("out")) : null,
    likeButton(product));
  const element = make("li", { className: out ? "card out" : "card", data: { id: product.productId, position, search: searchId ?? "" } },
    make("div", { className: "picture" }, image(product, position), band(hit), addButton(product, position, searchId)), words);
  element.style.animationDelay = `${Math.min(position - 1, 8) * 24}ms`;
  events.watch(element);
  return element;
}

function titleLink(product, position, searchId) {
  const title = titleOf(product);
  if (!/^https?:\/\//.test(product.url ?? "")) return make("span", {}, title);
  const click = () => events.clicked(searchId, product.productId, position);
  return make("a", { href: product.url, target: "_blank", rel: "noopener noreferrer", on: { click } }, title);
}

/** Return a product's picture, or its first letter where this server has none. */
export function image(product, position = 99) {
  const uri = product.images?.[0]?.uri;
  const source = picture(uri, 320);
  const letter = () => make("span", { className: "noimage", ariaHidden: "true" }, [...titleOf(product)][0] ?? "?");
  if (!source) return letter();
  const element = make("img", { alt: "", width: 320, height: 320, decoding: "async", loading: position > 8 ? "lazy" : "eager" });
  element.addEventListener("error", () => element.replaceWith(letter()), { once: true });
  element.srcset = `${source} 320w, ${picture(uri, 640)} 640w`;
  element.sizes = "(min-width: 960px) 220px, 46vw";
  element.src = source;
  return element;
}

/** Say how alike they are, where the model knows and there is something to say. */
function band({ match, sameProbability }) {
  const rank = match === "MATCH_SAME" ? 0 : match !== "MATCH_SIMILAR" ? -1 : sameProbability >= 0.5 ? 1 : 2;
  if (rank < 0) return null;
  const meter = make("span", { className: "meter", ariaHidden: "true" });
  meter.style.setProperty("--part", `${[100, 66, 33][rank]}%`);
  return make("span", { className: "band" }, meter, t(`band.${3 - rank}`));
}

function likeButton(product) {
  const label = `${t("like")}: ${titleOf(product)}`;
  return make("button", { type: "button", className: "likebtn", ariaLabel: label, on: { click: () => onLike(product) } }, icon("like"), t("like"));
}

function addButton(product, position, searchId) {
  const button = make("button", { type: "button", className: "add" });
  const draw = () => {
    const inside = bag.has(product.productId);
    button.setAttribute("aria-pressed", inside);
    button.setAttribute("aria-label", `${t("bag.add")}: ${titleOf(product)}`);
    button.replaceChildren(icon(inside ? "check" : "bag"));
  };
  button.addEventListener("click", () => {
    const inside = bag.toggle(product.productId);
    draw();
    drawCount();
    toast(t(inside ? "bag.added" : "bag.removed", { title: titleOf(product) }));
    if (inside) events.carted(searchId, product.productId, position);
  });
  draw();
  return button;
}

/** Show how many products are in the bag. */
export function drawCount() {
  const count = bag.ids().length;
  $("bag-count").hidden = !count;
  $("bag-count").textContent = count;
  $("bag").setAttribute("aria-label", count ? `${t("bag")}: ${count}` : t("bag"));
}

/** Show where cards will be. */
export function skeletons(count) {
  return Array.from({ length: count }, () => {
    const line = (width) => {
      const element = make("div", { className: "skeleton line" });
      element.style.width = width;
      return element;
    };
    const words = make("div", {}, line("45%"), line("90%"), line("35%"));
    return make("li", { className: "card", ariaHidden: "true" }, make("div", { className: "picture skeleton" }), words);
  });
}
