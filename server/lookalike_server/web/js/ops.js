/** The operators' page: reads /v1/admin every few seconds and draws it. Changes nothing. */

const EVERY_MS = 4000;
const MINUTES = 60;
const SIDE = 128; // 16,384 slots as a square
const COLOURS = 8;
const [WIDTH, HEIGHT, LEFT, BOTTOM] = [320, 120, 34, 18];
const STATES = {
  STATE_HEALTHY: ["healthy", "good"], STATE_BEHIND: ["behind", "mid"],
  STATE_UNREACHABLE: ["unreachable", "bad"], STATE_REFUSED: ["refused", "bad"],
};
const SYNCS = { SYNC_IN_SYNC: "everything", SYNC_BEHIND: "all but recent writes", SYNC_FILLING: "being filled" };

const $ = (id) => document.getElementById(id);
const whole = (value) => new Intl.NumberFormat("en").format(Math.round(value));
const percent = (value) => new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 }).format(value);

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function drawn(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

async function read(path) {
  const answer = await fetch(path, { referrerPolicy: "no-referrer" });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

// --- the last hour -----------------------------------------------------------------------------------------------

/** Return the last sixty minutes, quiet ones as null. */
function hour(minutes) {
  const known = new Map(minutes.map((minute) => [Number(minute.begunSeconds), minute]));
  const now = Math.floor(Date.now() / 60000) * 60;
  return Array.from({ length: MINUTES }, (_, i) => known.get(now - (MINUTES - 1 - i) * 60) ?? null);
}

const x = (i) => LEFT + ((i + 0.5) / MINUTES) * (WIDTH - LEFT);
const y = (value, most) => (HEIGHT - BOTTOM) * (1 - Math.min(1, value / most)) + 6;

function axes(most, name, label) {
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + 8}`, role: "img", "aria-label": label });
  for (const part of [0, 0.5, 1]) {
    svg.append(drawn("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: y(part * most, most), y2: y(part * most, most) }));
    svg.append(drawn("text", { x: LEFT - 6, y: y(part * most, most) + 4, "text-anchor": "end" }, name(part * most)));
  }
  for (const [i, text, anchor] of [[0, "−60 min", "start"], [29.5, "−30", "middle"], [59, "now", "end"]]) {
    svg.append(drawn("text", { x: x(i), y: HEIGHT + 6, "text-anchor": anchor }, text));
  }
  return svg;
}

/** Draw a line through the minutes that have a value; a quiet minute breaks it. */
function line(svg, values, most, colour) {
  let path = "";
  values.forEach((value, i) => {
    if (value === null) return;
    path += `${i && values[i - 1] !== null ? "L" : "M"}${x(i).toFixed(1)} ${y(value, most).toFixed(1)}`;
    svg.append(drawn("circle", { class: `fill ${colour}`, cx: x(i), cy: y(value, most), r: 2.4 }));
  });
  svg.append(drawn("path", { class: `line ${colour}`, d: path }));
}

const nice = (value) => { const step = 10 ** Math.floor(Math.log10(Math.max(1, value))); return Math.max(2, Math.ceil(value / step) * step); };

function drawHour(minutes) {
  const all = hour(minutes);
  const busy = all.filter(Boolean);
  const answered = busy.reduce((sum, one) => sum + one.answered, 0);
  const refused = busy.reduce((sum, one) => sum + one.refused, 0);
  const mean = (value) => (answered ? busy.reduce((sum, one) => sum + one.answered * value(one), 0) / answered : 0);
  const figures = [
    ["searches answered", whole(answered)], ["refused", whole(refused)], ["median, ms", answered ? whole(mean((one) => one.p50Ms)) : "–"],
    ["95 %, ms", answered ? whole(mean((one) => one.p95Ms)) : "–"], ["coverage", answered ? percent(mean((one) => one.coverageMean)) : "–"],
  ];
  $("figures").replaceChildren(...figures.map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value))));

  const most = nice(Math.max(2, ...busy.map((one) => one.answered + one.refused)));
  const searches = axes(most, whole, `${answered} searches answered and ${refused} refused in the last hour`);
  const wide = (WIDTH - LEFT) / MINUTES - 1;
  all.forEach((one, i) => {
    if (!one) return;
    const top = y(one.answered, most);
    searches.append(drawn("rect", { class: "fill k0", x: x(i) - wide / 2, width: wide, y: top, height: y(0, most) - top }));
    const above = y(one.answered + one.refused, most);
    searches.append(drawn("rect", { class: "fill k3", x: x(i) - wide / 2, width: wide, y: above, height: top - above }));
  });
  $("searches").replaceChildren(searches);

  const served = (value) => all.map((one) => (one?.answered ? value(one) : null));
  const slowest = nice(Math.max(10, ...busy.map((one) => one.p95Ms)));
  const latency = axes(slowest, whole, `Median ${figures[2][1]} and 95 % ${figures[3][1]} milliseconds`);
  line(latency, served((one) => one.p95Ms), slowest, "k1");
  line(latency, served((one) => one.p50Ms), slowest, "k0");
  $("latency").replaceChildren(latency);

  const coverage = axes(1, percent, `Coverage ${figures[4][1]}`);
  line(coverage, served((one) => one.coverageMin), 1, "k3");
  line(coverage, served((one) => one.coverageMean), 1, "k0");
  $("coverage").replaceChildren(coverage);
}

// --- shards ------------------------------------------------------------------------------------------------------

function drawShards(shards) {
  $("replicas").replaceChildren(...shards.flatMap((status, i) => [shardRow(status, i), ...status.replicas.map(replicaRow)]));
  const bad = shards.filter((one) => one.state !== "STATE_HEALTHY");
  const ailing = shards.flatMap((one) => one.replicas).filter((one) => one.state !== "STATE_HEALTHY");
  const health = $("health");
  health.className = bad.length ? "bad" : ailing.length ? "mid" : "good";
  const text = bad.length ? `${bad.length} of ${shards.length} shards: ${bad.map((one) => `${one.shard.name} ${STATES[one.state]?.[0]}`).join(", ")}`
    : ailing.length ? `every shard answers; ${ailing.map((one) => one.replica.name).join(", ")} does not` : `all ${shards.length} shards healthy`;
  if (health.textContent !== text) health.textContent = text;
}

function shardRow({ shard, state, rows }, i) {
  const row = make("tr", "shard", head(shard.name, "row"));
  row.append(state_(state), make("td", "", `${whole(shard.slots)} slots`), cell(rows), make("td"), make("td"), make("td"), make("td"), make("td"));
  row.firstChild.prepend(make("i", `k${i % COLOURS} swatch`));
  return row;
}

function head(text, scope) {
  const element = make("th", "", text);
  element.scope = scope;
  return element;
}

function replicaRow({ replica, state, message, rows, p50Ms, p95Ms, hintsPending, serverVersion, filled }) {
  const holds = replica.sync === "SYNC_FILLING" ? `being filled, ${percent(filled)}` : SYNCS[replica.sync];
  const row = make("tr", "", make("td", "", replica.name), state_(state), make("td", "", holds), cell(rows), cell(p50Ms, "ms"), cell(p95Ms, "ms"), cell(hintsPending));
  row.append(make("td", "", serverVersion), message ? make("td", "why", message) : make("td", "", replica.uri));
  return row;
}

const cell = (value, unit = "") => make("td", "n", unit && !Number(value) ? "–" : `${whole(value)}${unit ? ` ${unit}` : ""}`);

function state_(state) {
  const [text, colour] = STATES[state] ?? ["unknown", "mid"];
  return make("td", colour, text);
}

// --- the rebalance -----------------------------------------------------------------------------------------------

const JOBS = {
  STATE_RUNNING: ["running", "good"], STATE_PAUSED: ["paused by an operator", "mid"], STATE_STOPPED: ["stopped", "bad"],
  STATE_CANCELLING: ["being cancelled", "mid"], STATE_CANCELLED: ["cancelled", "mid"], STATE_DONE: ["done", "good"],
};
const KINDS = { KIND_BALANCE: "Every shard gets its share", KIND_DRAIN: "A shard is emptied", KIND_REVERSE: "The last job is taken back" };

function drawJob(job) {
  $("job").hidden = !job;
  if (!job) return;
  const [state, colour] = JOBS[job.state] ?? ["unknown", "mid"];
  const why = job.shard ? `Shard ${job.shard} is emptied` : KINDS[job.kind] ?? "Slots move";
  $("job-state").className = colour;
  $("job-state").textContent = `${why}: job ${job.number} is ${state}${job.message ? `. ${job.message}` : ""}`;
  $("job-bar").max = Math.max(1, job.slots);
  $("job-bar").value = job.slotsMoved;
  const left = job.etaSeconds === undefined ? "–" : `${whole(job.etaSeconds)} s`;
  const figures = [
    ["slots moved", `${whole(job.slotsMoved)} of ${whole(job.slots)}`], ["rows moved", `${whole(job.rowsMoved)} of ${whole(job.rows)}`],
    ["rows a second", whole(job.rowsPerS)], ["left", left], ["pauses", whole(job.pauses)], ["longest, ms", whole(job.longestPauseMs)],
  ];
  $("job-figures").replaceChildren(...figures.map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value))));
  $("job-moves").replaceChildren(...job.moves.map((move) =>
    make("li", "", `batch ${move.number}: ${whole(move.slots)} slots from ${move.source} to ${move.target}, ${step(move.step)}`)));
}

const step = (name) => name.replace("STEP_", "").replace("_", " ").toLowerCase();

// --- slots -------------------------------------------------------------------------------------------------------

let drawnEpoch = null;

function drawMap({ shards, epoch, slots, embedder, detector, serverVersion }) {
  $("meta").textContent = `map epoch ${epoch} · ${embedder} · ${detector} · version ${serverVersion} · read ${new Date().toLocaleTimeString()}`;
  if (drawnEpoch === epoch) return;
  drawnEpoch = epoch;
  const label = shards.map((one) => `${one.name} owns ${one.slots}`).join(", ");
  const svg = drawn("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", "aria-label": `Of ${slots} slots ${label}`, "shape-rendering": "crispEdges" });
  shards.forEach((shard, i) => svg.append(drawn("path", { class: `fill k${i % COLOURS}`, d: shard.slotRanges.map(run).join("") })));
  $("map").replaceChildren(svg);
  $("legend").replaceChildren(...shards.map((shard, i) =>
    make("li", "", make("i", `k${i % COLOURS}`), `${shard.name}: ${whole(shard.slots)} slots (${percent(shard.slots / slots)})`)));
}

/** Return consecutive slots as rectangles, one for each row of the square that they touch. */
function run({ first, last }) {
  let path = "";
  for (let row = Math.floor(first / SIDE); row <= Math.floor(last / SIDE); row += 1) {
    const from = Math.max(first, row * SIDE) - row * SIDE;
    const to = Math.min(last, row * SIDE + SIDE - 1) - row * SIDE;
    path += `M${from} ${row}h${to - from + 1}v1h${from - to - 1}z`;
  }
  return path;
}

async function refresh() {
  try {
    const names = ["topology", "shards", "rebalance", "activity"];
    const [topology, shards, rebalance, activity] = await Promise.all(names.map((name) => read(`/v1/admin/${name}`)));
    drawMap(topology);
    drawJob(rebalance.job);
    drawShards(shards.shards);
    drawHour(activity.minutes);
    document.body.dataset.drawn = "true";
  } catch {
    $("health").className = "bad";
    $("health").textContent = "the server does not answer; what is below is old";
  }
  setTimeout(refresh, EVERY_MS);
}

refresh();
