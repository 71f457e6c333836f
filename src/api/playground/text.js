// The editor for models of text: a text, and for those that compare, a second one.

import { h, newId } from "./dom.js";

export function textEditor(model, { submit, limits }) {
  const text = area("Text", "Type a sentence, then press Ctrl+Enter");
  const second = area("Second text", "Only for models that compare two texts");
  second.element.hidden = true;
  const count = h("span", { class: "hint count" });
  const more = h(
    "button",
    { type: "button", class: "quiet", "aria-expanded": "false" },
    "Add a second text",
  );
  more.onclick = () => {
    second.element.hidden = !second.element.hidden;
    more.textContent = second.element.hidden ? "Add a second text" : "Remove the second text";
    more.setAttribute("aria-expanded", String(!second.element.hidden));
    (second.element.hidden ? text : second).input.focus();
  };
  const pair = () => (second.element.hidden ? "" : second.input.value);

  // The limit counts UTF-8.
  const tally = () => {
    const used = new TextEncoder().encode(text.input.value + pair()).length;
    const most = limits.max_text_bytes;
    count.textContent = used > most / 2 ? `${used} of ${most} bytes` : "";
    count.classList.toggle("over", used > most);
  };
  for (const { input } of [text, second]) input.addEventListener("input", tally);

  const examples = model.examples.filter((example) => "text" in example);
  const use = (example) => {
    text.input.value = example.text;
    tally();
    submit();
  };
  const chips = examples.map((example) =>
    h("button", { type: "button", class: "chip", onclick: () => use(example) }, example.text)
  );
  const element = h(
    "div",
    { class: "editor" },
    text.element,
    second.element,
    h("div", { class: "under" }, more, count),
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
    focus: () => text.input.focus(),
    // An empty text is asked as it is: what the model makes of it is its own answer.
    request() {
      const body = { text: text.input.value };
      if (pair()) body.text = { text: text.input.value, text_pair: pair() };
      return { type: "application/json", text: JSON.stringify(body) };
    },
    mark(problem) {
      const wrong = Boolean(problem?.field?.startsWith("text"));
      text.input.setAttribute("aria-invalid", String(wrong));
    },
    subject: () => text.input.value,
  };
}

function area(label, placeholder) {
  const id = newId("text");
  const input = h("textarea", { id, rows: 4, placeholder, spellcheck: "false" });
  return { input, element: h("div", { class: "field" }, h("label", { for: id }, label), input) };
}
