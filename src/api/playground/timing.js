// Where a request's time went: the stages of `Server-Timing`, and what is left of the round trip.

import { h, milliseconds } from "./dom.js";

const STAGES = {
  decode: "Decode",
  preprocess: "Pre-process",
  queue: "Queue",
  infer: "Network run",
  postprocess: "Post-process",
};

// `decode;dur=0.731, queue;dur=0.009` as [["decode", 0.731], …], in milliseconds.
export function parseTiming(header) {
  return (header ?? "")
    .split(",")
    .map((part) => part.trim().match(/^([\w-]+);.*?dur=([\d.]+)/))
    .filter(Boolean)
    .map(([, name, duration]) => [name, Number(duration)]);
}

// `total`: milliseconds from the request to the last byte of the answer; what no stage accounts for is
// called `rest`.
export function timingView(header, total, title = "Time", rest = "HTTP and browser") {
  const stages = parseTiming(header);
  if (!stages.length) return null;
  const known = stages.reduce((sum, [, duration]) => sum + duration, 0);
  stages.push(["rest", total - known]);
  const whole = Math.max(total, known);
  const strip = h("div", { class: "strip", "aria-hidden": "true" });
  const legend = h("ul", { class: "legend" });
  for (const [name, duration] of stages.filter(([, duration]) => duration > 0)) {
    const piece = h("i", { class: `stage ${name}` });
    piece.style.flexGrow = duration / whole;
    strip.append(piece);
    const dot = h("i", { class: `dot ${name}`, "aria-hidden": "true" });
    const text = h("span", {}, name === "rest" ? rest : (STAGES[name] ?? name));
    legend.append(h("li", {}, dot, text, h("b", {}, milliseconds(duration))));
  }
  return h(
    "section",
    { class: "timing" },
    h("h3", {}, `${title} `, h("b", {}, milliseconds(total))),
    strip,
    legend,
  );
}
