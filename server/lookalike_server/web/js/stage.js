/**
 * Shows the photo with what was seen in it: dots to tap, the searched box with corners to drag, and the same as buttons.
 * Tells its listener which region is wanted; searches nothing itself.
 */

import { $, icon, make, settled } from "./dom.js";
import { number, t } from "./i18n.js";

const STEP = 0.02;
const SIDE_MIN = 0.06;
/** A shopper who nudges a box is done when nothing happened for this long. */
const PAUSE_MS = 450;
const CORNERS = { lt: ["left", "top"], rt: ["right", "top"], rb: ["right", "bottom"], lb: ["left", "bottom"] };
const WHOLE = { left: 0, top: 0, right: 1, bottom: 1 };

let frame = null;
let shown = null;
let onRegion = () => {};

/** Listen for {box} or {wholeImage} that the shopper wants searched. */
export const listen = (listener) => { onRegion = listener; };

const recrop = settled(() => onRegion({ box: { ...shown.box } }), PAUSE_MS);

/** Show a photo that is being looked at. */
export function showPhoto(photo) {
  const stage = $("stage");
  stage.hidden = false;
  const image = make("img", { src: photo.url, alt: t("photo.alt"), width: photo.width, height: photo.height });
  frame = make("div", { className: "frame waiting" }, image);
  frame.style.setProperty("--ratio", photo.width / photo.height);
  stage.style.setProperty("--photo", `url("${photo.url}")`);
  stage.replaceChildren(frame);
  shown = { photo, detections: [], box: null, whole: false };
  const items = $("items");
  items.hidden = false;
  items.setAttribute("role", "group");
  items.setAttribute("aria-label", t("items"));
  items.replaceChildren(...[0, 1, 2].map(() => make("span", { className: "skeleton" })));
  $("adjust").hidden = true;
}

export function hide() {
  $("stage").hidden = $("items").hidden = $("adjust").hidden = true;
  shown = null;
}

/** Say that a search of the photo runs, or that it ended. */
export const waiting = (runs) => frame?.classList.toggle("waiting", runs);

/** Show what was seen, and which part was searched. */
export function showSeen(photo, detections, searched, whole) {
  if (shown?.photo !== photo) showPhoto(photo);
  const changed = detections !== shown.detections;
  shown = { photo, detections, box: searched ? { ...searched } : { ...WHOLE }, whole };
  if (changed || !frame.querySelector(".shade")) drawOverlay();
  waiting(false);
  place();
  drawItems();
}

const same = (a, b) => ["left", "top", "right", "bottom"].every((side) => Math.abs(a[side] - b[side]) < 0.004);
const name = (i) => t("item", { n: number(i + 1), count: number(shown.detections.length) });

function drawOverlay() {
  const dots = shown.detections.map((one, i) => {
    const dot = make("button", { type: "button", className: "dot", ariaLabel: name(i), on: { click: () => pick(i) } });
    dot.style.left = `${((one.box.left + one.box.right) / 2) * 100}%`;
    dot.style.top = `${((one.box.top + one.box.bottom) / 2) * 100}%`;
    return dot;
  });
  const corners = Object.keys(CORNERS).map((corner) =>
    make("button", {
      type: "button", className: "corner", ariaLabel: `${t(`corner.${corner}`)}. ${t("corner.hint")}`, data: { corner },
      on: { pointerdown: drag, keydown: nudge },
    }));
  frame.replaceChildren(frame.querySelector("img"), make("div", { className: "shade" }, make("div", { className: "box" })), ...dots, ...corners);
}

function place() {
  const { left, top, right, bottom } = shown.box;
  Object.assign(frame.querySelector(".box").style, {
    left: `${left * 100}%`, top: `${top * 100}%`, width: `${(right - left) * 100}%`, height: `${(bottom - top) * 100}%`,
  });
  for (const corner of frame.querySelectorAll(".corner")) {
    const [x, y] = CORNERS[corner.dataset.corner];
    // A corner at the edge stays within reach of a thumb.
    corner.style.left = `clamp(14px, ${shown.box[x] * 100}%, calc(100% - 14px))`;
    corner.style.top = `clamp(14px, ${shown.box[y] * 100}%, calc(100% - 14px))`;
  }
  frame.querySelectorAll(".dot").forEach((dot, i) => {
    const chosen = !shown.whole && same(shown.detections[i].box, shown.box);
    dot.setAttribute("aria-pressed", chosen);
    dot.tabIndex = -1; // the same button is in the list below, where it has its picture
  });
  requestAnimationFrame(() => frame.classList.add("settled"));
}

function drawItems() {
  const expanded = !$("adjust").hidden;
  const focused = $("items").contains(document.activeElement) ? document.activeElement.dataset.item : null;
  const buttons = shown.detections.map((one, i) =>
    itemButton(`item-${i}`, name(i), number(i + 1), !shown.whole && same(one.box, shown.box), () => pick(i), one.box));
  const whole = itemButton("whole", t("whole"), t("whole"), shown.whole, pickWhole, WHOLE);
  const adjust = itemButton("adjust", t("adjust"), t("adjust"), null, toggleAdjust, null);
  adjust.setAttribute("aria-expanded", expanded);
  adjust.setAttribute("aria-controls", "adjust");
  $("items").replaceChildren(...buttons, whole, adjust);
  if (focused) $("items").querySelector(`[data-item="${focused}"]`)?.focus();
  if (expanded) drawAdjust();
}

function itemButton(item, label, text, pressed, click, box) {
  const thumb = make("span", { className: "thumb" });
  if (box) crop(thumb, box);
  else thumb.append(icon("crop"));
  const button = make("button", { type: "button", ariaLabel: label, data: { item }, on: { click } }, thumb, make("span", {}, text));
  if (pressed !== null) button.setAttribute("aria-pressed", pressed);
  return button;
}

/** Show a part of the photo as an element's background: a square around its middle. */
function crop(element, box) {
  const { width, height, url } = shown.photo;
  const side = Math.min(width, height, Math.max((box.right - box.left) * width, (box.bottom - box.top) * height));
  const part = { x: side / width, y: side / height };
  const at = (low, high, span) => (span >= 1 ? 50 : (Math.min(1 - span, Math.max(0, (low + high - span) / 2)) / (1 - span)) * 100);
  element.style.backgroundImage = `url("${url}")`;
  element.style.backgroundSize = `${100 / part.x}% ${100 / part.y}%`;
  element.style.backgroundPosition = `${at(box.left, box.right, part.x)}% ${at(box.top, box.bottom, part.y)}%`;
}

function pick(i) {
  shown.box = { ...shown.detections[i].box };
  shown.whole = false;
  place();
  drawItems();
  onRegion({ box: { ...shown.box } });
}

function pickWhole() {
  shown.box = { ...WHOLE };
  shown.whole = true;
  place();
  drawItems();
  onRegion({ wholeImage: {} });
}

function toggleAdjust() {
  const adjust = $("adjust");
  adjust.hidden = !adjust.hidden;
  drawItems();
}

/** Offer what dragging does as plain buttons. */
function drawAdjust() {
  const focused = document.activeElement?.dataset?.move;
  const moves = {
    larger: ["plus", grow(STEP)], smaller: ["minus", grow(-STEP)], left: ["left", shift(-STEP, 0)], right: ["right", shift(STEP, 0)],
    up: ["up", shift(0, -STEP)], down: ["down", shift(0, STEP)],
  };
  const adjust = $("adjust");
  adjust.setAttribute("role", "group");
  adjust.setAttribute("aria-label", t("adjust"));
  adjust.replaceChildren(...Object.entries(moves).map(([move, [image, change]]) => {
    const label = t(`crop.${move}`);
    const click = () => edit(change(shown.box));
    return make("button", { type: "button", ariaLabel: label, title: label, data: { move }, on: { click } }, icon(image));
  }));
  if (focused) adjust.querySelector(`[data-move="${focused}"]`)?.focus();
}

const grow = (by) => (box) => ({ left: box.left - by, top: box.top - by, right: box.right + by, bottom: box.bottom + by });
const shift = (x, y) => (box) => {
  const dx = Math.min(1 - box.right, Math.max(-box.left, x));
  const dy = Math.min(1 - box.bottom, Math.max(-box.top, y));
  return { left: box.left + dx, top: box.top + dy, right: box.right + dx, bottom: box.bottom + dy };
};

/** Take a box as the new one, within the picture and not too small, and search it when the shopper pauses. */
function edit(box) {
  const fitted = { left: Math.max(0, box.left), top: Math.max(0, box.top), right: Math.min(1, box.right), bottom: Math.min(1, box.bottom) };
  if (fitted.right - fitted.left < SIDE_MIN || fitted.bottom - fitted.top < SIDE_MIN) return;
  shown.box = fitted;
  shown.whole = false;
  place();
  recrop();
}

function moved(corner, x, y) {
  const box = { ...shown.box };
  const [across, down] = CORNERS[corner];
  box[across] = across === "left" ? Math.min(x, box.right - SIDE_MIN) : Math.max(x, box.left + SIDE_MIN);
  box[down] = down === "top" ? Math.min(y, box.bottom - SIDE_MIN) : Math.max(y, box.top + SIDE_MIN);
  return box;
}

function drag(event) {
  event.preventDefault();
  const corner = event.currentTarget;
  corner.focus();
  corner.setPointerCapture(event.pointerId);
  frame.classList.remove("settled");
  const area = frame.getBoundingClientRect();
  const move = (at) => edit(moved(corner.dataset.corner, (at.clientX - area.left) / area.width, (at.clientY - area.top) / area.height));
  const end = () => {
    corner.removeEventListener("pointermove", move);
    frame.classList.add("settled");
  };
  corner.addEventListener("pointermove", move);
  corner.addEventListener("pointerup", end, { once: true });
  corner.addEventListener("pointercancel", end, { once: true });
}

function nudge(event) {
  const steps = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
  const step = steps[event.key];
  if (!step) return;
  event.preventDefault();
  const [across, down] = CORNERS[event.currentTarget.dataset.corner];
  edit(moved(event.currentTarget.dataset.corner, shown.box[across] + step[0], shown.box[down] + step[1]));
}
