// A refusal as a person would want it: what is wrong, where, and what would do.

import { h } from "./dom.js";

const ADVICE = {
  0: "Look whether onnxd still runs; this page asks again when you do.",
  404: "The model may have been unloaded since this page was opened; reload the page.",
  408: "The upload was too slow. Try again, or send something smaller.",
  413: "Send something smaller, or raise the limit in the server's configuration.",
  500: "The server's log has the reason under the request id below.",
  503: "The server is starting or stopping. Try again in a moment.",
  504: "The server had too much to do within the deadline.",
};

// `retry` is offered where asking again may help.
export function problemView(problem, retry) {
  const rows = [
    ["Field", problem.field && `\`${problem.field}\``],
    ["Expected", problem.expected],
    ["Got", problem.got],
  ].filter(([, value]) => value);
  const again = [0, 401, 408, 429, 503, 504].includes(problem.status);
  const advice = problem.status === 429
    ? `The server is busy. Try again ${problem.retryAfter ? `in ${problem.retryAfter} s` : "soon"}.`
    : ADVICE[problem.status];
  return h(
    "div",
    { class: "problem" },
    h("p", { class: "problem-title" }, problem.title ?? "It did not work"),
    // The table below says the sentence in its parts.
    rows.length ? null : h("p", {}, problem.detail),
    rows.length ? h("dl", { class: "parts" }, rows.map(part)) : null,
    advice ? h("p", { class: "advice" }, advice) : null,
    again && retry
      ? h(
        "button",
        { type: "button", onclick: retry },
        problem.status === 401 ? "Enter a key" : "Try again",
      )
      : null,
    h("p", { class: "meta" }, meta(problem)),
  );
}

function part([name, value]) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, ...marked(value)));
}

// The server puts names into `backticks`.
function marked(text) {
  return text.split("`").map((piece, index) => (index % 2 ? h("code", {}, piece) : piece));
}

function meta(problem) {
  const parts = [];
  if (problem.status) parts.push(`Status ${problem.status}`);
  if (problem.requestId) parts.push(`request ${problem.requestId}`);
  return parts.join(" · ");
}

// Which cell of a row of features a problem is about: a column's number or name.
export function columnOf(problem, names) {
  const field = problem.field ?? "";
  const numbered = field.match(/^features(?:\[0\])?\[(\d+)\]$/);
  if (numbered) return Number(numbered[1]);
  const named = names.findIndex((name) => name && field.startsWith(`features.${name}`));
  return named < 0 ? null : named;
}
