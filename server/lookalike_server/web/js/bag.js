/** Remembers on this phone what the shopper put into the bag: product ids, and nothing else. */

const KEY = "lookalike.bag";
const MOST = 60;

export function ids() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((id) => typeof id === "string").slice(0, MOST) : [];
  } catch {
    return [];
  }
}

export const has = (id) => ids().includes(id);

/** Put a product in, or take it out; say whether it is in now. */
export function toggle(id) {
  const kept = ids();
  const now = kept.includes(id) ? kept.filter((one) => one !== id) : [id, ...kept].slice(0, MOST);
  localStorage.setItem(KEY, JSON.stringify(now));
  return now.includes(id);
}
