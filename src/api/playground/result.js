// Answers: classes as bars, entities in their text, values, vectors, tensors.

import { h, percent, short, svg } from "./dom.js";

// The view of an answer to `asked`, and a sentence for those who do not see it.
export function resultView(answer, asked) {
  if (answer.outputs) return tensors(answer.outputs);
  const [prediction] = answer.result;
  if (prediction.classes) return classes(prediction, asked);
  if (prediction.entities) return entities(prediction.entities, asked.subject);
  if (prediction.embedding) return embedding(prediction.embedding, asked);
  return values(prediction.value);
}

function classes({ label, score, classes }, { raw }) {
  const largest = Math.max(...classes.map((one) => Math.abs(one.score)), 1e-9);
  const told = (value) => (raw ? short(value) : percent(value));
  const bars = classes.map((one, index) => {
    const bar = h("span", { class: "fill", "aria-hidden": "true" });
    // Probabilities are parts of 1; scores are compared with the largest.
    bar.style.width = `${100 * (raw ? Math.abs(one.score) / largest : one.score)}%`;
    return h(
      "li",
      { class: index ? "bar" : "bar best" },
      h("span", { class: "name" }, one.label),
      h("span", { class: "number" }, told(one.score)),
      h("span", { class: "track" }, bar),
    );
  });
  const view = [
    h("p", { class: "headline" }, label, h("span", { class: "score" }, told(score))),
    h(
      "ol",
      { class: "bars", "aria-label": raw ? "Classes by score" : "Classes by probability" },
      bars,
    ),
  ];
  return { view, said: `${label}, ${told(score)}` };
}

// Places are counted in Unicode code points, as Python does.
function entities(found, text) {
  const letters = [...text];
  const names = [...new Set(found.map(({ entity }) => entity))].sort();
  const passage = h("p", { class: "passage" });
  let at = 0;
  for (const { entity, start, end, score } of found) {
    passage.append(letters.slice(at, start).join(""));
    const name = h("span", { class: "tag" }, entity);
    const mark = h("mark", { class: `kind-${names.indexOf(entity) % 6}`, title: percent(score) });
    mark.append(letters.slice(start, end).join(""), name);
    passage.append(mark);
    at = end;
  }
  passage.append(letters.slice(at).join(""));
  const rows = found.map(({ entity, word, score }) => [word, entity, percent(score)]);
  const none = h("p", { class: "hint" }, "The model names nothing in this text.");
  const view = [passage, found.length ? table(["Text", "Entity", "Score"], rows) : none];
  const said = found.map(({ entity, word }) => `${word}: ${entity}`).join(", ");
  return { view, said: said || "nothing named" };
}

function values(value) {
  const many = Array.isArray(value) ? value : [value];
  if (many.length === 1) {
    const text = String(Number(many[0].toPrecision(6)));
    return { view: [h("p", { class: "headline value" }, text)], said: text };
  }
  const rows = many.map((one, index) => [String(index), String(Number(one.toPrecision(6)))]);
  return { view: [table(["Output", "Value"], rows)], said: `${many.length} values` };
}

// The last vector of each model, to compare the next one with.
const before = new Map();

function embedding(vector, { model, subject }) {
  const norm = Math.hypot(...vector);
  const facts = [
    ["Dimensions", String(vector.length)],
    ["Length", short(norm)],
    ["Smallest", short(Math.min(...vector))],
    ["Largest", short(Math.max(...vector))],
  ];
  const view = [
    h("p", { class: "headline" }, `${vector.length} numbers`),
    strip(vector),
    h(
      "dl",
      { class: "facts" },
      facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    ),
    h("p", { class: "numbers" }, h("code", {}, `[${vector.slice(0, 8).map(short).join(", ")}, …]`)),
  ];
  const last = before.get(model);
  before.set(model, { vector, norm, subject });
  let said = `a vector of ${vector.length} numbers`;
  if (last && last.subject !== subject && last.vector.length === vector.length) {
    const product = vector.reduce((sum, number, index) => sum + number * last.vector[index], 0);
    const cosine = (product / (norm * last.norm || 1)).toFixed(3);
    view.push(
      h("p", { class: "compared" }, "Cosine similarity to the text before ", h("b", {}, cosine)),
    );
    said += `, cosine similarity to the text before ${cosine}`;
  }
  return { view, said };
}

// Every number of a vector as a line up or down.
function strip(vector) {
  const largest = Math.max(...vector.map(Math.abs), 1e-9);
  const width = Math.min(8, Math.max(1, 300 / vector.length));
  const path = vector.map((value, x) => `M${x + 0.5} 0V${(-value / largest).toFixed(3)}`).join("");
  const label = `The ${vector.length} numbers as lines, up or down`;
  return svg(
    "svg",
    {
      class: "vector",
      viewBox: `0 -1 ${vector.length} 2`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    svg("path", { d: path, "stroke-width": width, "vector-effect": "non-scaling-stroke" }),
  );
}

function tensors(outputs) {
  const rows = outputs.map(({ name, datatype, shape, data }) => {
    const first = data.slice(0, 12).map((
      value,
    ) => (typeof value === "number" ? short(value) : String(value)));
    const rest = data.length > 12 ? ", …" : "";
    return [
      h("code", {}, name),
      `${datatype} [${shape.join(", ")}]`,
      h("code", {}, `${first.join(", ")}${rest}`),
    ];
  });
  const view = [table(["Output", "Type and shape", "Data"], rows)];
  return { view, said: `${outputs.length} outputs` };
}

function table(heads, rows) {
  const head = h("tr", {}, heads.map((name) => h("th", { scope: "col" }, name)));
  const lines = rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))));
  const inner = h("table", {}, h("thead", {}, head), h("tbody", {}, lines));
  return h("div", {
    class: "scroll",
    tabindex: "0",
    role: "region",
    "aria-label": "Answer as a table",
  }, inner);
}
