// Small charts: lines over the last while, and bars of a histogram.

import { h, svg } from "./dom.js";

const HEIGHT = 150;
const MARGIN = { top: 8, right: 8, bottom: 20, left: 44 };

// A chart of lines over `seconds`. `update(series, now)` draws them; a series is { name, tone, points },
// its points [time in seconds, value or null], in rising order. `limit` draws a line that values should
// stay under; with `decades` the scale is logarithmic.
export function lineChart({ title, seconds, format, limit = null, decades = false }) {
  const legend = h("ul", { class: "legend" });
  const box = h("div", { class: "plot" });
  const element = h(
    "figure",
    { class: "card chart" },
    h("figcaption", {}, h("h2", {}, title), legend),
    box,
  );
  let drawn = { series: [], now: 0 };
  let pointed = null;

  const draw = () => {
    const width = box.clientWidth;
    if (!width) return;
    const { series, now } = drawn;
    const values = series.flatMap(({ points }) => points.map(([, value]) => value ?? 0));
    const scale = decades ? logarithmic(values) : linear(Math.max(...values, limit ?? 0));
    const [inner, tall] = [width - MARGIN.left - MARGIN.right, HEIGHT - MARGIN.top - MARGIN.bottom];
    const x = (time) => MARGIN.left + inner * (1 - (now - time) / seconds);
    const y = (value) => MARGIN.top + tall * (1 - scale.share(value));
    const at = pointed === null ? now : now - seconds * (1 - (pointed - MARGIN.left) / inner);
    const told = series.map((one) => [one, nearest(one.points, at)]);
    const marks = told.filter(([, point]) => point).map(([{ tone }, [time, value]]) =>
      svg("circle", { class: `mark ${tone}`, cx: x(time), cy: y(value), r: 3 })
    );
    legend.replaceChildren(
      ...told.map(([{ name, tone }, point]) => key(name, tone, point ? format(point[1]) : "–")),
    );
    const label = `${title}: ${
      told.map(([{ name }, point]) => `${name} ${point ? format(point[1]) : "none"}`).join(", ")
    }`;
    box.replaceChildren(
      svg(
        "svg",
        {
          width,
          height: HEIGHT,
          viewBox: `0 0 ${width} ${HEIGHT}`,
          role: "img",
          "aria-label": label,
        },
        scale.lines.map((value) => grid(width, y(value), format(value))),
        limit === null ? null : svg("line", {
          class: "limit",
          x1: MARGIN.left,
          x2: width - MARGIN.right,
          y1: y(limit),
          y2: y(limit),
        }),
        ticks(seconds).map(([ago, text]) => tick(x(now - ago), text, ago)),
        pointed === null ? null : svg("line", {
          class: "pointer",
          x1: x(at),
          x2: x(at),
          y1: MARGIN.top,
          y2: HEIGHT - MARGIN.bottom,
        }),
        series.map(({ tone, points }) =>
          svg("path", { class: `line ${tone}`, d: trace(points, x, y) })
        ),
        marks,
      ),
    );
  };
  new ResizeObserver(draw).observe(box);
  box.onpointermove = (event) => {
    const left = event.clientX - box.getBoundingClientRect().left;
    pointed = Math.min(Math.max(left, MARGIN.left), box.clientWidth - MARGIN.right);
    draw();
  };
  box.onpointerleave = () => {
    pointed = null;
    draw();
  };
  return {
    element,
    update(series, now) {
      drawn = { series, now };
      draw();
    },
  };
}

// A line through the points, broken where there is no value.
function trace(points, x, y) {
  let broken = true;
  const parts = [];
  for (const [time, value] of points) {
    if (value !== null) {
      parts.push(`${broken ? "M" : "L"}${x(time).toFixed(1)} ${y(value).toFixed(1)}`);
    }
    broken = value === null;
  }
  // A point by itself is a dot.
  return parts.length === 1 ? `${parts[0]}h.01` : parts.join("");
}

// The point nearest to a time, if it has a value.
function nearest(points, time) {
  let best = null;
  for (const point of points) {
    if (!best || Math.abs(point[0] - time) <= Math.abs(best[0] - time)) best = point;
  }
  return best && best[1] !== null ? best : null;
}

function grid(width, y, text) {
  return svg(
    "g",
    { class: "grid" },
    svg("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }),
    svg("text", { x: MARGIN.left - 6, y: y + 4, "text-anchor": "end" }, text),
  );
}

const ticks = (seconds) => [
  [seconds, `${seconds} s ago`],
  [seconds / 2, `${seconds / 2} s`],
  [0, "now"],
];

function tick(x, text, ago) {
  const anchor = ago === 0 ? "end" : x < MARGIN.left + 1 ? "start" : "middle";
  return svg("text", { class: "tick", x, y: HEIGHT - 4, "text-anchor": anchor }, text);
}

function key(name, tone, value) {
  return h(
    "li",
    {},
    h("i", { class: `dot ${tone}`, "aria-hidden": "true" }),
    h("span", {}, name),
    h("b", {}, value),
  );
}

// From 0 to the next larger of 1, 2, 5, 10, 20, …: which part of the height a value takes, and where lines
// are drawn.
function linear(largest) {
  const power = 10 ** Math.floor(Math.log10(largest > 0 ? largest : 1));
  const top = power * [1, 2, 5, 10].find((step) => step * power >= largest * 0.999);
  return { share: (value) => value / top, lines: [0, top / 2, top] };
}

// Whole powers of ten around the values.
function logarithmic(values) {
  const known = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...known, 1)));
  const high = Math.max(low + 2, Math.ceil(Math.log10(Math.max(...known, 1))));
  const lines = Array.from({ length: high - low + 1 }, (_, step) => Number(`1e${low + step}`));
  return { share: (value) => (Math.log10(Math.max(value, lines[0])) - low) / (high - low), lines };
}

// Bars of [name, count], as a list that can be read.
export function barChart({ title, hint }) {
  const list = h("ol", { class: "columns" });
  const note = h("p", { class: "hint" }, hint);
  const element = h(
    "figure",
    { class: "card chart" },
    h("figcaption", {}, h("h2", {}, title), note),
    list,
  );
  return {
    element,
    update(bars, text) {
      note.textContent = text;
      const most = Math.max(...bars.map(([, count]) => count), 1);
      list.replaceChildren(
        ...bars.map(([name, count]) => {
          const bar = h("i", { class: "fill", "aria-hidden": "true" });
          bar.style.height = `${(100 * count) / most}%`;
          const label = h("span", { class: "name" }, name);
          return h(
            "li",
            { title: `${count}` },
            h("span", { class: "number" }, count ? String(count) : ""),
            h("span", { class: "track" }, bar),
            label,
          );
        }),
      );
    },
  };
}
