// The view to try the models on: a model, an input, its answer, and the lines that ask the same.

import { ask, known } from "./api.js";
import { byId, copyButton, h, milliseconds, newId, tabList } from "./dom.js";
import { featuresEditor } from "./features.js";
import { imageEditor } from "./image.js";
import { tensorsEditor } from "./json.js";
import { problemView } from "./problem.js";
import { resultView } from "./result.js";
import { curl, python } from "./snippets.js";
import { textEditor } from "./text.js";
import { timingView } from "./timing.js";

const EDITORS = {
  image: imageEditor,
  text: textEditor,
  features: featuresEditor,
  inputs: tensorsEditor,
};
const TOP_K = 5;
// More radio buttons than these are a list to choose from.
const MOST_BUTTONS = 9;

let models = [];
let limits = {};
let model = null;
let editor = null;
const editors = new Map();
let running = null;
let options = {};

export function startTrying(served) {
  ({ models, limits } = served);
  byId("wait").hidden = true;
  byId("bench").hidden = false;
  chooser();
  if (!models.length) {
    byId("ask").hidden = true;
    byId("result").replaceChildren(h("p", { class: "empty" }, "No model is loaded yet."));
    return;
  }
  snippetTabs();
  choose(models[0]);
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  byId("ask").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      submit();
    }
  });
  if (/Mac|iPhone|iPad/.test(navigator.platform)) {
    byId("submit-hint").firstElementChild.textContent = "⌘";
  }
  acceptImages();
}

function chooser() {
  const place = byId("models");
  if (models.length > MOST_BUTTONS) {
    const list = h("select", { "aria-label": "Model" });
    models.forEach((one, index) =>
      list.append(h("option", { value: index }, `${one.name} · ${words(one)}`))
    );
    list.onchange = () => choose(models[Number(list.value)]);
    place.append(list);
    return;
  }
  const buttons = models.map((one, index) => {
    const id = newId("model");
    const radio = h("input", {
      type: "radio",
      name: "model",
      id,
      value: index,
      checked: index === 0,
    });
    radio.onchange = () => choose(one);
    return h(
      "div",
      { class: "model" },
      radio,
      h("label", { for: id }, h("b", {}, one.name), h("span", {}, words(one))),
    );
  });
  place.append(h("div", { class: "choices" }, buttons));
}

function words({ task, labels }) {
  const name = task === "tensors" ? "named tensors" : task.replaceAll("-", " ");
  return labels > 1 ? `${name}, ${labels.toLocaleString("en")} classes` : name;
}

function choose(next) {
  model = next;
  const context = { submit, limits, fail: (problem) => show(problem) };
  if (!editors.has(model)) {
    editors.set(model, (EDITORS[model.input] ?? tensorsEditor)(model, context));
  }
  editor = editors.get(model);
  byId("editor").replaceChildren(editor.element);
  const radio = document.querySelector(`input[name="model"][value="${models.indexOf(model)}"]`);
  if (radio) radio.checked = true;
  optionFields();
  nothingYet();
}

function nothingYet() {
  running?.abort();
  byId("answer").classList.remove("busy");
  byId("snippets").hidden = true;
  byId("said").textContent = "";
  const facts = [model.file, `runs on ${model.device}`, `version ${model.version}`];
  byId("result").replaceChildren(
    h("p", { class: "empty" }, "The answer comes here."),
    h("div", { class: "ghosts", "aria-hidden": "true" }, h("i"), h("i"), h("i")),
    h("p", { class: "meta" }, facts.join(" · ")),
  );
}

function optionFields() {
  const place = byId("option-fields");
  byId("options").hidden = model.input === "inputs";
  options = { version: null, topK: TOP_K, raw: false, truncate: true };
  const field = (label, input) => {
    input.id = newId("option");
    return h("div", { class: "field" }, h("label", { for: input.id }, label), input);
  };
  const check = (label, name) => {
    const input = h("input", { type: "checkbox", checked: options[name] });
    input.onchange = () => (options[name] = input.checked);
    input.id = newId("option");
    return h("div", { class: "check" }, input, h("label", { for: input.id }, label));
  };
  const fields = [];
  if (model.versions.length > 1) {
    const list = h("select", {}, h("option", { value: "" }, "the server's choice"));
    list.append(...model.versions.map((version) => h("option", { value: version }, version)));
    list.onchange = () => (options.version = list.value || null);
    fields.push(field("Version", list));
  }
  if (/classification$/.test(model.task) && model.task !== "token-classification") {
    const count = h("input", { type: "number", min: 1, max: 1000, value: TOP_K });
    count.oninput = () => (options.topK = count.value);
    fields.push(field("Classes to list", count), check("Raw scores, without softmax", "raw"));
  }
  if (model.input === "text") fields.push(check("Cut texts that are too long", "truncate"));
  if (!fields.length) byId("options").hidden = true;
  place.replaceChildren(...fields);
}

function path(request) {
  const name = encodeURIComponent(model.name);
  if (request.tensors) return `v2/models/${name}/infer`;
  const query = new URLSearchParams();
  if (String(options.topK) !== String(TOP_K)) query.set("top_k", options.topK);
  if (options.raw) query.set("raw_scores", "true");
  if (!options.truncate) query.set("truncate", "false");
  const version = options.version ? `/versions/${options.version}` : "";
  return `predict/${name}${version}${query.size ? `?${query}` : ""}`;
}

async function submit() {
  const made = editor.request();
  if (!made) {
    if (!editor.element.contains(document.activeElement)) editor.focus();
    byId("said").textContent = editor.missing;
    return;
  }
  const request = { ...made, path: path(made) };
  const asked = { model: model.name, raw: options.raw, subject: editor.subject() };
  running?.abort();
  const mine = (running = new AbortController());
  byId("answer").classList.add("busy");
  const began = performance.now();
  try {
    const response = await ask(request.path, {
      method: "POST",
      headers: { "content-type": request.type },
      body: request.file ?? request.text,
      signal: mine.signal,
    });
    const text = await response.text();
    const total = performance.now() - began;
    if (mine !== running) return;
    show(null, { request, asked, response, text, total });
    reveal();
  } catch (problem) {
    if (problem.name !== "AbortError" && mine === running) show(problem, { request });
  }
}

// On a small screen the answer lies below what was asked.
function reveal() {
  const answer = byId("answer");
  if (answer.getBoundingClientRect().top < innerHeight * 0.7) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  answer.scrollIntoView({ block: "start", behavior: still ? "instant" : "smooth" });
}

function show(problem, answered) {
  byId("answer").classList.remove("busy");
  if (answered) snippets(answered.request);
  if (problem) {
    const told = known(problem);
    byId("result").replaceChildren(problemView(told, submit));
    byId("said").textContent = `${told.title}. ${told.detail ?? ""}`;
    editor.mark(told);
    return;
  }
  editor.mark(null);
  const { asked, response, text, total } = answered;
  const answer = JSON.parse(text);
  const { view, said } = resultView(answer, asked);
  const facts = [
    `version ${answer.version ?? answer.model_version}`,
    `ran on ${response.headers.get("x-device")}`,
    `request ${response.headers.get("x-request-id")}`,
  ];
  byId("result").replaceChildren(
    ...view,
    timingView(response.headers.get("server-timing"), total) ?? "",
    h("p", { class: "meta" }, facts.join(" · ")),
    whole(text),
  );
  byId("said").textContent = `${said}, in ${milliseconds(total)}`;
}

// The answer as it came.
function whole(text) {
  // Lists of numbers stay on a line.
  const numbers = /\[\s+([-+.\deE,\s]+?)\s+\]/g;
  const onOneLine = (_, list) => `[${list.replace(/\s+/g, " ")}]`;
  const pretty = JSON.stringify(JSON.parse(text), null, 2).replace(numbers, onOneLine);
  const shown = pretty.length > 20000 ? `${pretty.slice(0, 20000)}\n…` : pretty;
  return h(
    "details",
    { class: "whole" },
    h("summary", {}, "The answer as JSON"),
    h(
      "div",
      { class: "code-box" },
      h("pre", { tabindex: "0" }, shown),
      copyButton(() => text, "Copy the answer"),
    ),
  );
}

const LANGUAGES = { curl, Python: python };
const panels = {};

function snippetTabs() {
  const bar = document.querySelector("#snippets .bar");
  const list = bar.querySelector("[role=tablist]");
  Object.keys(LANGUAGES).forEach((name, index) => {
    const id = newId("snippet");
    const attributes = { role: "tab", type: "button", id: `${id}-tab`, "aria-controls": id };
    list.append(
      h(
        "button",
        { ...attributes, "aria-selected": String(!index), tabindex: index ? -1 : 0 },
        name,
      ),
    );
    panels[name] = h("pre", {
      tabindex: "0",
      id,
      role: "tabpanel",
      "aria-labelledby": `${id}-tab`,
      hidden: index > 0,
    });
    byId("snippet-panels").append(panels[name]);
  });
  const shown = () => Object.values(panels).find((panel) => !panel.hidden).textContent;
  bar.append(copyButton(shown, "Copy the lines"));
  tabList(list);
}

function snippets(request) {
  byId("snippets").hidden = false;
  for (const [name, write] of Object.entries(LANGUAGES)) panels[name].textContent = write(request);
}

// Images that are dropped anywhere or pasted anywhere go to the chosen model, or to the first that takes
// images.
function acceptImages() {
  const takes = () => {
    const other = models.find((one) => one.input === "image");
    if (model.input !== "image" && other) choose(other);
    return editor.take;
  };
  const image = (data) =>
    [...(data?.files ?? [])].find((file) => file.type.startsWith("image/") || !file.type);
  document.addEventListener("paste", (event) => {
    const file = image(event.clipboardData);
    if (file && !byId("panel-try").hidden) takes()?.(file);
  });
  const light = (on) => document.body.classList.toggle("dropping", on);
  document.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    light(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? light(false));
  document.addEventListener("drop", (event) => {
    light(false);
    const [file] = event.dataTransfer.files;
    if (!file) return;
    event.preventDefault();
    if (!byId("panel-try").hidden) takes()?.(file);
  });
}
