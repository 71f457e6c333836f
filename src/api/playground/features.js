// The editor for models of features: a form made from the model's columns, or the JSON itself.

import { h, newId } from "./dom.js";
import { jsonArea, spaced } from "./json.js";
import { columnOf } from "./problem.js";

// A form with more fields is no help.
const MOST_FIELDS = 64;

export function featuresEditor(model, { submit }) {
  const columns = model.columns;
  const hasForm = columns.length > 0 && columns.length <= MOST_FIELDS;
  const hasText = columns.some((column) => column.type === "text");
  const fields = hasForm ? columns.map(field) : [];
  const json = jsonArea("Body as JSON", spaced(template(columns, hasText)));
  const form = h("div", { class: "fields" }, fields.map(({ element }) => element));

  // As they stand: what is no number goes out as a string, for the server to say what it expected.
  const body = () => {
    const values = fields.map(({ value }) => value());
    if (!hasText) return { features: [values] };
    return { features: Object.fromEntries(columns.map(({ name }, i) => [name, [values[i]]])) };
  };
  const toggle = h(
    "button",
    { type: "button", class: "quiet", "aria-pressed": "false" },
    "Edit as JSON",
  );
  const show = (asJson) => {
    if (asJson && hasForm) json.input.value = spaced(body());
    form.hidden = asJson;
    json.element.hidden = !asJson;
    toggle.setAttribute("aria-pressed", String(asJson));
  };
  toggle.onclick = () => {
    show(json.element.hidden);
    (json.element.hidden ? (fields[0]?.input ?? json.input) : json.input).focus();
  };
  json.element.hidden = hasForm;

  const examples = model.examples.filter((example) => "features" in example);
  const use = (example) => {
    if (json.element.hidden) fields.forEach(({ input }, i) => (input.value = example.features[i]));
    else json.input.value = spaced({ features: [example.features] });
    submit();
  };
  const chips = examples.map((example) =>
    h(
      "button",
      { type: "button", class: "chip", onclick: () => use(example) },
      example.features.join(", "),
    )
  );
  const element = h(
    "div",
    { class: "editor" },
    form,
    json.element,
    hasForm ? h("div", { class: "under" }, toggle) : null,
    examples.length
      ? h(
        "div",
        { class: "chips", role: "group", "aria-label": "Examples" },
        h("span", { class: "hint" }, "Try"),
        chips,
      )
      : null,
  );

  return {
    element,
    focus: () => (json.element.hidden ? fields[0].input : json.input).focus(),
    request() {
      const asForm = json.element.hidden;
      const empty = asForm ? fields.filter((field) => field.value() === "" && !field.isText) : [];
      for (const field of fields) field.mark(empty.includes(field) ? "Fill this in" : "");
      empty[0]?.input.focus();
      if (empty.length) return null;
      return { type: "application/json", text: asForm ? JSON.stringify(body()) : json.input.value };
    },
    missing: "Fill in every field first.",
    // Where the problem is about one field of the form, that field says it.
    mark(problem) {
      const at = problem ? columnOf(problem, columns.map(({ name }) => name)) : null;
      const told = () => `Expected ${problem.expected}, got ${problem.got}`;
      fields.forEach((field, index) => field.mark(index === at ? told() : ""));
      if (at !== null && json.element.hidden) fields[at]?.input.focus();
    },
    subject: () => "this row",
  };
}

function field(column, index) {
  const id = newId("feature");
  const name = column.name ?? `Feature ${index + 1}`;
  const hint = h("span", { class: "hint", id: `${id}-hint` }, hintOf(column));
  const wrong = h("span", { class: "wrong", id: `${id}-wrong` });
  const described = `${id}-hint ${id}-wrong`;
  const input = column.type === "boolean"
    ? h(
      "select",
      { id, "aria-describedby": described },
      h("option", { value: "0" }, "0 (no)"),
      h("option", { value: "1" }, "1 (yes)"),
    )
    : h("input", {
      id,
      "aria-describedby": described,
      autocomplete: "off",
      inputmode: { number: "decimal", integer: "numeric" }[column.type],
    });
  const label = h("label", { for: id }, name.replaceAll("_", " "));
  return {
    input,
    element: h("div", { class: "field" }, h("div", { class: "label" }, label, hint), input, wrong),
    value() {
      const text = input.value.trim();
      if (column.type === "text") return input.value;
      const number = Number(text.replace(",", "."));
      return text === "" || Number.isNaN(number) ? text : number;
    },
    isText: column.type === "text",
    mark(text) {
      input.setAttribute("aria-invalid", String(text !== ""));
      wrong.textContent = text;
    },
  };
}

function hintOf(column) {
  const words = { number: "number", integer: "whole number", boolean: "0 or 1", text: "text" };
  return words[column.type];
}

function template(columns, hasText) {
  const zero = (column) => (column.type === "text" ? "" : 0);
  if (!hasText) return { features: [columns.map(zero)] };
  return { features: Object.fromEntries(columns.map((column) => [column.name, [zero(column)]])) };
}
