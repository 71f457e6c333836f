// The editor for models without a task: the request of the Open Inference Protocol as JSON.

import { h, newId } from "./dom.js";

// Elements of an input that the page writes out; a larger one is left to the person.
const MOST_ELEMENTS = 4096;

export function tensorsEditor(model) {
  const inputs = model.inputs.map((input) => `  ${spaced(zeros(input))}`);
  const json = jsonArea("Inputs as JSON", `{"inputs": [\n${inputs.join(",\n")}\n]}`);
  const list = h(
    "ul",
    { class: "tensors" },
    model.inputs.map(({ name, datatype, shape }) =>
      h("li", {}, h("code", {}, name), " ", `${datatype} [${shape.map(axis).join(", ")}]`)
    ),
  );
  return {
    element: h("div", { class: "editor" }, list, json.element),
    focus: () => json.input.focus(),
    request: () => ({ type: "application/json", text: json.input.value, tensors: true }),
    mark: (problem) => json.input.setAttribute("aria-invalid", String(Boolean(problem))),
    subject: () => "these tensors",
  };
}

const axis = (length) => (length < 0 ? "any" : length);

// An input of zeros, with length 1 for every open axis.
function zeros({ name, datatype, shape }) {
  const lengths = shape.map((length) => (length < 0 ? 1 : length));
  const elements = lengths.reduce((product, length) => product * length, 1);
  const zero = { BYTES: "", BOOL: false }[datatype] ?? 0;
  const data = elements <= MOST_ELEMENTS ? Array(elements).fill(zero) : [];
  return { name, shape: lengths, datatype, data };
}

// JSON on one line, with room between its parts.
export const spaced = (value) =>
  JSON.stringify(value, null, 1).replace(/([[{])\n\s*/g, "$1").replace(/\n\s*([\]}])/g, "$1")
    .replace(/\n\s*/g, " ");

// A field for JSON, which Tab leaves as any other field.
export function jsonArea(label, text) {
  const id = newId("json");
  const input = h("textarea", { id, rows: 8, class: "code", spellcheck: "false", value: text });
  const element = h("div", { class: "field" }, h("label", { for: id }, label), input);
  return { input, element };
}
