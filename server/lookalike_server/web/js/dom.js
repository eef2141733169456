/** Makes and finds elements. Knows nothing of what they are for. */

export const $ = (id) => document.getElementById(id);

/** Return a new element; a property `on` holds listeners, `data` data attributes, others are set as they are. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name.startsWith("aria") || name === "role" || name === "for") element.setAttribute(dashed(name), value);
    else if (value !== undefined) element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const dashed = (name) => name.replace(/^aria([A-Z])/, (_, letter) => `aria-${letter.toLowerCase()}`).toLowerCase();

/** Return one of the page's icons, which is decoration. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

let toastTimer = 0;

/** Say something for a moment; screen readers hear it, too. */
export function toast(text) {
  const element = $("toast");
  element.textContent = text;
  element.classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => element.classList.remove("shown"), 3200);
}

/** Tell screen readers how things stand. */
export const say = (text) => { $("status").textContent = text; };

/** Run `work` once nothing has asked for it for `ms`. */
export function settled(work, ms) {
  let timer = 0;
  return (...args) => { clearTimeout(timer); timer = setTimeout(() => work(...args), ms); };
}
