/**
 * The page: what is looked at is a view, every view has an address, and going back shows it as it was.
 * Photos are kept in this page's memory only; a link never holds one.
 */

import * as api from "./api.js";
import * as bag from "./bag.js";
import * as cards from "./cards.js";
import { $, make, say, toast } from "./dom.js";
import * as events from "./events.js";
import * as filters from "./filters.js";
import { number, preferred, seconds, speak, t } from "./i18n.js";
import { asOf, comparable, currency, useRates } from "./money.js";
import { pictureAmong, prepared } from "./photo.js";
import * as preferences from "./preferences.js";
import * as stage from "./stage.js";
import * as states from "./states.js";

const PAGE = 12;
// Where even the best hit is less likely than this to be the very product, the page says that nothing is quite like it.
const ALIKE_FROM = 0.1;
/** As many as the server counts: sorting by price must see all that may be listed. */
const MOST = 200;
const SHARED_MAX = 24;

/** Views by the number that the history keeps for each. */
const views = new Map();
let view = { kind: "home" };
let running = null;

// --- addresses ---------------------------------------------------------------------------------------------------

function addressOf(one) {
  const params = new URLSearchParams();
  if (one.kind === "like") params.set("like", one.id);
  if (one.kind === "list") params.set("show", one.ids.join(","));
  if (one.kind === "bag") params.set("bag", "");
  if (one.kind === "photo") params.set("photo", "");
  if (one.chosen) filters.toParams(one.chosen, params);
  if (one.sort && one.sort !== "match") params.set("sort", one.sort);
  const text = params.toString().replace(/=(?=&|$)/g, "");
  return text ? `/?${text}` : "/";
}

function viewAt(address) {
  const params = new URL(address, location.href).searchParams;
  const rest = { chosen: filters.fromParams(params), sort: params.get("sort") ?? "match" };
  if (params.get("like")) return { kind: "like", id: params.get("like"), ...rest };
  if (params.get("show")) return { kind: "list", ids: params.get("show").split(",").filter(Boolean).slice(0, SHARED_MAX) };
  if (params.has("bag")) return { kind: "bag" };
  return { kind: "home" };
}

function remember(one, push) {
  const key = push ? Math.max(0, ...views.keys()) + 1 : (history.state?.key ?? 0);
  views.set(key, one);
  const state = { key };
  if (push) history.pushState(state, "", addressOf(one));
  else history.replaceState(state, "", addressOf(one));
}

/** Go to a view; it is drawn as it is and looked up where it has no results yet. */
function go(one, { push = true } = {}) {
  running?.abort();
  if (push) view.scroll = scrollY;
  view = one;
  remember(one, push);
  draw();
  if (push) scrollTo(0, 0);
  if (one.kind !== "home" && !one.results && !one.failed) return look(one);
  return undefined;
}

addEventListener("popstate", (event) => {
  running?.abort();
  view.scroll = scrollY;
  view = views.get(event.state?.key) ?? viewAt(location.href);
  draw();
  scrollTo(0, view.scroll ?? 0);
  if (view.kind !== "home" && !view.results && !view.failed) look(view);
});

// --- looking -----------------------------------------------------------------------------------------------------

const startPhoto = (photo) => go({ kind: "photo", photo, region: null, chosen: { ...filters.EMPTY }, sort: "match" });

/** Take a file as the photo to look at. */
async function take(file) {
  if (!file) return;
  try {
    await startPhoto(await prepared(file));
  } catch (error) {
    if (!(error instanceof api.Refused)) throw error;
    go({ kind: "failed", failed: states.stateOf(error) });
  }
}

/** Return what to ask the server for a view. */
function requestOf(one) {
  const sorted = one.sort !== "match";
  const request = { limit: sorted ? MOST : PAGE, facets: !one.facets };
  const filter = filters.filterOf(one.chosen, one.facets);
  if (filter) request.filter = filter;
  if (one.kind === "like") request.productId = one.id;
  if (one.kind === "photo" && one.token) request.imageToken = one.token;
  if (one.kind === "photo" && one.region) Object.assign(request, one.region);
  return request;
}

/** Search; a photo that the server has forgotten is sent again. */
async function searched(one, request, signal) {
  const blob = one.kind === "photo" && !one.token ? one.photo.blob : null;
  try {
    return await api.search(request, blob, signal);
  } catch (error) {
    if (error.reason !== "IMAGE_TOKEN_EXPIRED") throw error;
    const { imageToken, ...rest } = request;
    return api.search(rest, one.photo.blob, signal);
  }
}

/** Look up what a view shows. */
async function look(one) {
  running?.abort();
  const { signal } = (running = new AbortController());
  const begun = performance.now();
  drawWaiting();
  try {
    if (one.kind === "list" || one.kind === "bag") await lookUp(one, signal);
    else await find(one, signal);
    one.ms = performance.now() - begun;
    one.failed = null;
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    if (!(error instanceof api.Refused)) throw error;
    one.failed = states.stateOf(error);
  }
  if (signal.aborted || view !== one) return;
  remember(one, false);
  draw();
}

async function find(one, signal) {
  const answer = await searched(one, requestOf(one), signal);
  one.token = answer.imageToken || one.token;
  if (one.kind === "photo" && !one.region) one.detections = answer.detections;
  one.detections ??= [];
  one.searched = answer.searched ?? null;
  one.facets = answer.facets ?? one.facets;
  one.coverage = answer.coverage.slotsFraction;
  one.searchId = answer.searchId;
  const { hits } = answer;
  one.weak = ["MATCH_WEAK", "MATCH_NONE"].includes(hits[0]?.match) && !(hits[0].sameProbability >= ALIKE_FROM);
  one.results = hits.map((hit, i) => ({ ...hit, position: i + 1 }));
  one.end = hits.length < requestOf(one).limit || (!filters.count(one.chosen) && hits.length >= (one.facets?.products ?? 0));
  one.visible = PAGE;
  if (one.kind === "like" && !one.product) one.product = (await api.product(one.id, signal)).product;
}

async function lookUp(one, signal) {
  const ids = one.kind === "bag" ? bag.ids() : one.ids;
  const answers = await Promise.allSettled(ids.map((id) => api.product(id, signal)));
  const away = answers.find(({ reason }) => reason && reason.status !== 404);
  if (away) throw away.reason;
  one.results = answers.filter(({ value }) => value).map(({ value }, i) => ({ product: value.product, position: i + 1 }));
  one.end = true;
  one.visible = MOST;
}

/** Show the next page: what is here already, else what the server has. */
async function more() {
  const one = view;
  if (one.visible >= one.results.length && !one.end) {
    const { facets, ...request } = requestOf(one);
    try {
      const answer = await searched(one, { ...request, offset: one.results.length });
      const known = new Set(one.results.map(({ product }) => product.productId));
      const fresh = answer.hits.filter(({ product }) => !known.has(product.productId));
      one.results.push(...fresh.map((hit, i) => ({ ...hit, position: one.results.length + i + 1 })));
      one.end = answer.hits.length < PAGE;
    } catch (error) {
      if (!(error instanceof api.Refused)) throw error;
      toast(t(`state.${states.stateOf(error)}.title`));
      return;
    }
  }
  const from = one.visible;
  one.visible += PAGE;
  if (view === one) {
    drawCards(from);
    $("cards").children[from]?.querySelector("a, button")?.focus({ preventScroll: true });
  }
}

// --- drawing -----------------------------------------------------------------------------------------------------

const isHome = () => view.kind === "home";

function draw() {
  $("home").hidden = !isHome();
  $("look").hidden = isHome();
  $("back").hidden = isHome();
  $("share").hidden = !view.results?.length;
  $("look").classList.toggle("with-photo", view.kind === "photo");
  document.title = isHome() ? t("title") : `${titleText()} · Lookalike`;
  if (isHome()) return;
  states.clear();
  drawQuery();
  if (view.failed) drawFailed();
  else if (view.results) drawResults();
}

const titleText = () => t({ like: "like", list: "shared", bag: "bag", photo: "matches", failed: "matches" }[view.kind] ?? "matches");

/** Show what is looked for: the photo, or the product that others should be like. */
function drawQuery() {
  if (view.kind !== "photo") stage.hide();
  else if (view.results) stage.showSeen(view.photo, view.detections, view.searched?.box, isWhole(view.searched));
  else stage.showPhoto(view.photo);
  $("origin").hidden = !view.product || view.kind !== "like";
  if (view.product) $("origin").replaceChildren(cards.image(view.product, 1), make("p", {}, cards.titleOf(view.product)));
  $("title").textContent = titleText();
  $("title").parentElement.hidden = false;
}

const WHOLE = ["SOURCE_WHOLE_IMAGE", "SOURCE_WHOLE_IMAGE_MATCHED_BETTER", "SOURCE_NOTHING_DETECTED"];
const isWhole = (searched) => !searched || WHOLE.includes(searched.source);

function drawWaiting() {
  if (view.results) stage.waiting(view.kind === "photo");
  // What will be there keeps its place, so that nothing jumps when it comes.
  $("tools").hidden = view.kind !== "photo" && view.kind !== "like";
  $("tools").classList.add("coming");
  $("rates").hidden = true;
  states.clear();
  $("title").textContent = t("looking");
  $("title").parentElement.hidden = false;
  $("figures").textContent = "";
  $("more").hidden = true;
  $("cards").setAttribute("aria-busy", "true");
  $("cards").replaceChildren(...cards.skeletons(6));
  say(t("looking"));
}

function drawFailed() {
  stage.waiting(false);
  if (view.kind === "photo" && !view.results) $("items").hidden = true;
  $("cards").replaceChildren();
  $("cards").setAttribute("aria-busy", "false");
  $("title").parentElement.hidden = true;
  $("tools").hidden = $("more").hidden = $("rates").hidden = true;
  const retry = ["retry", () => { view.failed = null; look(view); }];
  const other = ["another", () => go({ kind: "home" })];
  states.show(view.failed, ["away", "busy"].includes(view.failed) ? [retry, other] : [other], "h1");
}

function drawResults() {
  const searches = view.kind === "photo" || view.kind === "like";
  $("figures").textContent = [view.results.length && number(total()), view.ms && searches && seconds(view.ms)].filter(Boolean).join(" · ");
  $("tools").hidden = !searches || !view.facets?.products;
  $("tools").classList.remove("coming");
  if (searches) {
    drawSort();
    filters.drawActive(view.chosen, view.facets, narrow);
    if (view.coverage < 0.9999) states.showPart(view.coverage, () => look(view));
    if (view.weak) states.showWeak();
  }
  drawCards(0);
  if (!view.results.length) {
    const clear = ["clear", () => narrow({ ...filters.EMPTY })];
    const other = ["another", () => go({ kind: "home" })];
    states.show(view.kind === "bag" ? "bag" : "none", searches && filters.count(view.chosen) ? [clear, other] : [other]);
  } else {
    say(`${t("matches")}: ${number(total())}`);
  }
}

/** How many products there are: all that were counted, unless a filter leaves fewer. */
const total = () => {
  const known = view.end || filters.count(view.chosen ?? filters.EMPTY);
  return known ? view.results.length : Math.max(view.results.length, view.facets?.products ?? 0);
};

function drawCards(from) {
  const list = ordered().slice(0, view.visible);
  const drawn = list.slice(from).map((hit) => cards.card(hit, hit.position, view.searchId));
  if (from) $("cards").append(...drawn);
  else $("cards").replaceChildren(...drawn);
  $("cards").setAttribute("aria-busy", "false");
  $("more").hidden = view.visible >= view.results.length && (view.end || !list.length);
  $("rates").hidden = !currency() || !list.length || !asOf();
  $("rates").textContent = t("rates", { date: asOf() });
}

function ordered() {
  if (!view.sort || view.sort === "match") return view.results;
  const cost = ({ product }) => (product.price ? comparable(product.price) : Infinity);
  const up = [...view.results].sort((a, b) => cost(a) - cost(b));
  return view.sort === "low" ? up : up.reverse();
}

function drawSort() {
  const options = ["match", "low", "high"].map((value) => make("option", { value, selected: value === view.sort }, t(`sort.${value}`)));
  $("sort").replaceChildren(...options);
}

const narrow = (chosen) => go({ ...view, chosen, results: null, failed: null });

// --- what the shopper does ---------------------------------------------------------------------------------------

async function share() {
  const one = view.kind === "like" ? view : { kind: "list", ids: ordered().slice(0, SHARED_MAX).map(({ product }) => product.productId) };
  const url = new URL(addressOf(one), location.href).href;
  if (navigator.share) return navigator.share({ title: "Lookalike", url }).catch(() => {});
  try {
    await navigator.clipboard.writeText(url);
    toast(t("share.done"));
  } catch {
    prompt(t("share"), url);
  }
  return undefined;
}

function listen() {
  const files = { take: "camera-input", choose: "file-input" };
  for (const [button, input] of Object.entries(files)) {
    $(button).addEventListener("click", () => $(input).click());
    $(input).addEventListener("change", (event) => { take(event.target.files[0]); event.target.value = ""; });
  }
  addEventListener("paste", (event) => { const file = pictureAmong(event.clipboardData); if (file) take(file); });
  addEventListener("dragover", (event) => { event.preventDefault(); $("dropping").hidden = false; });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("dropping").hidden = true; });
  addEventListener("drop", (event) => { event.preventDefault(); $("dropping").hidden = true; take(pictureAmong(event.dataTransfer)); });
  $("back").addEventListener("click", () => (history.state?.key ? history.back() : go({ kind: "home" })));
  $("mark").addEventListener("click", (event) => { event.preventDefault(); if (!isHome()) go({ kind: "home" }); });
  $("bag").addEventListener("click", () => { if (view.kind !== "bag") go({ kind: "bag" }); });
  $("share").addEventListener("click", share);
  $("settings").addEventListener("click", () => preferences.open(drawAll));
  $("filter").addEventListener("click", () => filters.open(view.chosen, view.facets, narrow));
  $("sort").addEventListener("change", (event) => {
    const sort = event.target.value;
    const whole = view.end || view.results.length >= MOST;
    go({ ...view, sort, visible: PAGE, results: whole ? view.results : null });
  });
  $("more").addEventListener("click", more);
  cards.listen((product) => go({ kind: "like", id: product.productId, product, chosen: { ...filters.EMPTY }, sort: "match" }));
  stage.listen((region) => {
    const { facets, results, failed, ...rest } = view;
    go({ ...rest, region, chosen: { ...filters.EMPTY }, sort: "match" });
  });
}

function drawAll() {
  cards.drawCount();
  draw();
}

function drawSamples(samples) {
  $("try").hidden = !samples.length;
  $("samples").replaceChildren(...samples.map((source, i) => {
    const image = make("img", { src: source, alt: "", width: 300, height: 300, decoding: "async" });
    const click = async () => {
      const answer = await fetch(source).catch(() => null);
      if (answer?.ok) await take(await answer.blob());
      else go({ kind: "failed", failed: "away" });
    };
    return make("button", { type: "button", ariaLabel: t("home.sample", { n: number(i + 1) }), on: { click } }, image);
  }));
}

async function start() {
  preferences.light();
  const [settings] = await Promise.all([api.settings(), speak(preferred())]);
  useRates(settings.rates);
  events.turnOn(settings.events);
  listen();
  drawSamples(settings.samples);
  cards.drawCount();
  history.scrollRestoration = "manual";
  await go(viewAt(location.href), { push: false });
}

start();
