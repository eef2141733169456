/** Asks the server. Every refusal becomes an error with a reason that programs know. */

export class Refused extends Error {
  constructor(reason, detail, status) {
    super(detail);
    this.reason = reason;
    this.status = status;
  }
}

async function asked(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, referrerPolicy: "no-referrer", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("AWAY", "the server does not answer", 0);
  }
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(problem.reason ?? "AWAY", problem.detail ?? "", answer.status);
}

const post = (path, value, signal) =>
  asked(path, { method: "POST", body: JSON.stringify(value), headers: { "Content-Type": "application/json" }, signal });

/** Search; with `blob` the photo goes along, else the request names what is meant. */
export function search(request, blob, signal) {
  if (!blob) return post("/v1/search", request, signal);
  const form = new FormData();
  form.append("request", JSON.stringify(request));
  form.append("image", blob, "photo");
  return asked("/v1/search", { method: "POST", body: form, signal });
}

export const product = (id, signal) => asked(`/v1/products/${encodeURIComponent(id)}`, { signal });
export const settings = () => asked("/settings.json", {});
export const report = (events) => post("/v1/events", { events });

/** Return where a catalogue picture is, `width` pixels wide; null where it is not this server's. */
export function picture(uri, width) {
  if (!uri || /^[a-z][a-z0-9+.-]*:/i.test(uri)) return null;
  return `/v1/images/${uri.split("/").map(encodeURIComponent).join("/")}?w=${width}`;
}
