// The view of the running server, from its own metrics: what happened since the page was opened.

import { ask } from "./api.js";
import { barChart, lineChart } from "./chart.js";
import { byId, bytes, h, milliseconds, newId, percent, short } from "./dom.js";
import { quantile } from "./prometheus.js";
import { timingView } from "./timing.js";
import { between, sorted, Window } from "./window.js";

// Milliseconds between two looks at the metrics.
const EVERY = 1000;
// Seconds that the charts show, and over which a percentile is taken.
const SHOWN = 120;
const RECENT = 10;
// Seconds without a sample that break a line.
const GAP = 5;
const NONE = "(none)";

const samples = new Window(SHOWN + RECENT);
const now = () => performance.now() / 1000;
// A part of the objective; what is next to nothing is not worth its digits.
function part(value) {
  return value > 0 && value < 0.01 ? "<\u202f0.01" : short(Math.round(value * 100) / 100);
}
let chosen = null;
let paused = false;
let view = null;

export function startWatching() {
  view = layout();
  byId("live").replaceChildren(view.element);
  document.addEventListener("visibilitychange", () => document.hidden || look());
  look();
}

let waiting = null;

// Looks at the metrics, and again after a second, as long as somebody sees the page.
async function look() {
  clearTimeout(waiting);
  if (document.hidden) return;
  try {
    const text = await (await ask("playground/metrics", {}, true)).text();
    samples.add(now(), text);
    state("ok", "connected");
  } catch (problem) {
    state("lost", problem.status === 401 ? "needs a key" : "not answering");
  }
  if (!paused && samples.last) draw();
  waiting = setTimeout(look, EVERY);
}

function state(name, text) {
  const place = byId("state");
  place.classList.toggle("lost", name === "lost");
  place.classList.toggle("ok", name === "ok");
  place.title = text;
  byId("live").classList.toggle("lost", name === "lost");
  view.notice.textContent = name === "lost"
    ? `The server is ${text}; this page asks again every second.`
    : "";
}

function layout() {
  const tiles = ["Requests", "Median", "99th percentile", "In flight", "Saturation"].map((name) => {
    const [value, more] = [h("b", {}, "–"), h("span", { class: "hint" })];
    return {
      value,
      more,
      element: h("div", { class: "tile" }, h("span", { class: "name" }, name), value, more),
    };
  });
  const seconds = SHOWN;
  const charts = {
    throughput: lineChart({ title: "Requests a second", seconds, format: short }),
    latency: lineChart({
      title: "Latency of answers",
      seconds,
      format: milliseconds,
      decades: true,
    }),
    queue: lineChart({ title: "Queue", seconds, format: short }),
    saturation: lineChart({ title: "Saturation", seconds, format: part, limit: 1 }),
    batch: barChart({ title: "Rows in a run", hint: "" }),
    device: lineChart({ title: "Processor", seconds, format: percent }),
  };
  const stages = h("div", { class: "card stages" });
  const rows = h("tbody");
  const heads = [
    "Model",
    "Device",
    "Runs at once",
    "Requests",
    "Median",
    "p99",
    "Rows a run",
    "Queue",
    "Saturation",
  ];
  const table = h(
    "div",
    { class: "card scroll", tabindex: "0", role: "region", "aria-label": "Models" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col" }, name)))),
      rows,
    ),
  );
  const id = newId("watched");
  const filter = h("select", { id });
  filter.onchange = () => {
    chosen = filter.value || null;
    draw();
  };
  const pause = h("button", { type: "button", "aria-pressed": "false" }, "Pause");
  pause.onclick = () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
    if (!paused) draw();
  };
  const notice = h("p", { class: "notice", role: "status" });
  const since = h("p", { class: "hint since" });
  const bar = h("div", { class: "bar" }, h("label", { for: id }, "Show ", filter), pause, since);
  const grid = h("div", { class: "charts" }, Object.values(charts).map(({ element }) => element));
  const element = h(
    "div",
    {},
    bar,
    notice,
    h("div", { class: "tiles" }, tiles.map((tile) => tile.element)),
    grid,
    stages,
    table,
  );
  return { element, notice, since, filter, tiles, charts, stages, rows };
}

function draw() {
  const { last, first } = samples;
  const all = between(first, last, chosen);
  const recent = between(samples.before(samples.samples.length - 1, RECENT), last, chosen);
  filterNames(last);
  const { answered, refused, failed } = all.requests;
  const count = (number) => number.toLocaleString("en");
  view.since.textContent = `Since this page was opened: ${count(answered)} answered, ${
    count(refused)
  } refused, ${count(failed)} failed`;
  tiles(recent);
  lines(last);
  bars(all);
  stageStrip(all);
  modelRows(first, last);
}

function filterNames({ models }) {
  const names = [...models.keys()].filter((name) => name !== NONE).sort();
  if (view.filter.options.length === names.length + 1) return;
  view.filter.replaceChildren(
    h("option", { value: "" }, "all models"),
    ...names.map((name) => h("option", { value: name }, name)),
  );
  view.filter.value = chosen ?? "";
}

function tiles(recent) {
  const buckets = sorted(recent.latency.buckets);
  const rates = rate(samples.samples.length - 1);
  const quantileText = (share) => {
    const value = quantile(share, buckets);
    return value === null ? "–" : milliseconds(value * 1000);
  };
  const last = samples.last;
  const set = (index, value, more) => {
    view.tiles[index].value.textContent = value;
    view.tiles[index].more.textContent = more;
  };
  set(0, rates ? short(rates.answered + rates.refused + rates.failed) : "–", "a second, now");
  set(1, quantileText(0.5), `of answers, last ${RECENT} s`);
  set(2, quantileText(0.99), `of answers, last ${RECENT} s`);
  set(3, short(recent.inFlight), `${short(last.connections)} connections`);
  set(
    4,
    part(recent.saturation),
    recent.saturation > 1 ? "more than should wait" : "1 is the objective",
  );
}

// Requests a second between the sample at `index` and the one before, by outcome.
function rate(index) {
  if (index < 1) return null;
  const [earlier, later] = [samples.samples[index - 1], samples.samples[index]];
  const seconds = later.time - earlier.time;
  if (seconds > GAP) return null;
  const { requests } = between(earlier, later, chosen);
  return Object.fromEntries(
    Object.entries(requests).map(([name, number]) => [name, number / seconds]),
  );
}

function lines(last) {
  const series = (names, value) => {
    const told = samples.samples.map((sample, index) => [sample.time, value(index)]);
    const shown = told.filter(([time]) => time >= last.time - SHOWN);
    return Object.entries(names).map(([name, tone]) => {
      return { name, tone, points: shown.map(([time, values]) => [time, values?.[name] ?? null]) };
    });
  };
  const { charts } = view;
  const of = (index, seconds) =>
    between(samples.before(index, seconds), samples.samples[index], chosen);
  charts.throughput.update(
    series({ answered: "tone-1", refused: "tone-3", failed: "tone-2" }, rate),
    last.time,
  );
  const percentiles = (index) => {
    const buckets = sorted(of(index, RECENT).latency.buckets);
    const told = (share) => {
      const value = quantile(share, buckets);
      return value === null ? null : value * 1000;
    };
    return { p50: told(0.5), p90: told(0.9), p99: told(0.99) };
  };
  charts.latency.update(
    series({ p50: "tone-1", p90: "tone-3", p99: "tone-2" }, percentiles),
    last.time,
  );
  const load = (index) => {
    const { queue, inFlight, saturation } = of(index, 0);
    return { "rows that wait": queue, "requests in work": inFlight, saturation };
  };
  charts.queue.update(
    series({ "rows that wait": "tone-2", "requests in work": "tone-1" }, load),
    last.time,
  );
  charts.saturation.update(series({ saturation: "tone-1" }, load), last.time);
  const cores = `of ${last.cores} cores`;
  // The process tells whole seconds only, so over a while.
  const processor = (index) => {
    const [earlier, later] = [samples.before(index, RECENT), samples.samples[index]];
    if (later.time - earlier.time < RECENT / 2) return null;
    const share = (later.cpu - earlier.cpu) / (later.time - earlier.time) / later.cores;
    return { [cores]: Number.isFinite(share) ? Math.min(1, share) : null };
  };
  charts.device.update(series({ [cores]: "tone-1" }, processor), last.time);
}

function bars(all) {
  let before = 0;
  let below = 0;
  const counts = sorted(all.batch.buckets).map(([bound, count]) => {
    const name = bound === Infinity
      ? `>${below}`
      : bound - below > 1
      ? `${below + 1}–${bound}`
      : String(bound);
    const bar = [name, count - before];
    [before, below] = [count, bound];
    return bar;
  });
  // Up to the largest that there was, and a few in any case.
  const largest = counts.findLastIndex(([, count]) => count > 0);
  const { count, sum } = all.batch;
  const text = count
    ? `${count.toLocaleString("en")} ${count === 1 ? "run" : "runs"}, ${
      short(sum / count)
    } rows each on average`
    : "No run since this page was opened.";
  view.charts.batch.update(counts.slice(0, Math.max(largest + 1, 5)), text);
}

function stageStrip(all) {
  const { count, sum } = all.latency;
  const stages = Object.entries(all.stages).filter(([, stage]) => stage.count > 0);
  const order = ["decode", "preprocess", "queue", "infer", "postprocess"];
  stages.sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  const header = stages.map(([name, stage]) =>
    `${name};dur=${((1000 * stage.sum) / stage.count).toFixed(4)}`
  );
  const strip = count > 0
    ? timingView(header.join(","), (1000 * sum) / count, "Mean time of an answer", "HTTP")
    : null;
  const gpus = samples.last.gpus.filter(({ kind }) => kind === "used");
  const memory = [
    `The process holds ${bytes(samples.last.memory)}`,
    ...gpus.map((gpu) => `${gpu.device} ${bytes(gpu.bytes)} of all processes`),
  ];
  const empty = h(
    "p",
    { class: "hint" },
    "No answer since this page was opened. Try a model, or send requests, and come back.",
  );
  view.stages.replaceChildren(strip ?? empty, h("p", { class: "meta" }, memory.join(" · ")));
}

function modelRows(first, last) {
  const names = [...last.models.keys()].filter((name) =>
    name !== NONE && (chosen === null || name === chosen)
  );
  view.rows.replaceChildren(
    ...names.sort().map((name) => {
      const model = between(first, last, name);
      const buckets = sorted(model.latency.buckets);
      const told = (share) => {
        const value = quantile(share, buckets);
        return value === null ? "–" : milliseconds(value * 1000);
      };
      const { answered, refused, failed } = model.requests;
      const cells = [
        model.device,
        model.sessions,
        (answered + refused + failed).toLocaleString("en"),
        told(0.5),
        told(0.99),
        model.batch.count ? short(model.batch.sum / model.batch.count) : "–",
        short(model.queue),
        part(model.saturation),
      ];
      return h("tr", {}, h("th", { scope: "row" }, name), cells.map((cell) => h("td", {}, cell)));
    }),
  );
}
