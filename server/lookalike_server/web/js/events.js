/** Reports what the shopper does with results, where the operator keeps events; nothing in them names the shopper. */

import { report } from "./api.js";

const PAUSE_MS = 800;

let wanted = false;
let waiting = [];
let timer = 0;
let seen = new Set();

export const turnOn = (on) => { wanted = on; };

function add(kind, searchId, productId, position) {
  if (!wanted || !searchId) return;
  waiting.push({ kind, searchId, productId, position });
  clearTimeout(timer);
  if (waiting.length >= 50) send();
  else timer = setTimeout(send, PAUSE_MS);
}

function send() {
  const events = waiting.splice(0, 100);
  if (events.length) report(events).catch(() => {}); // a lost event is no business of the shopper
}

const observer = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    const { search, id, position } = target.dataset;
    const once = `${search} ${id}`;
    if (!seen.has(once)) add("KIND_VIEW", search, id, Number(position));
    seen.add(once);
  }
}, { threshold: 0.5 });

/** Report a card when half of it is in view. */
export const watch = (card) => { if (wanted) observer.observe(card); };
export const clicked = (searchId, id, position) => { add("KIND_CLICK", searchId, id, position); send(); };
export const carted = (searchId, id, position) => { add("KIND_ADD_TO_CART", searchId, id, position); send(); };
addEventListener("pagehide", send);
