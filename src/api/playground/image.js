// The editor for models of images: a file that is chosen, dropped, pasted or photographed.

import { ask } from "./api.js";
import { photograph } from "./camera.js";
import { bytes, h, newId } from "./dom.js";

const SERVED = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp"];

export function imageEditor(model, { submit, limits, fail }) {
  let chosen = null;
  const id = newId("image");
  // Keys reach them by the buttons below.
  const input = h("input", { type: "file", id, accept: "image/*", hidden: true });
  // Phones open their camera for this one.
  const capture = h("input", {
    type: "file",
    accept: "image/*",
    capture: "environment",
    hidden: true,
  });
  const touch = matchMedia("(pointer: coarse)").matches;
  const preview = h("img", { class: "preview", alt: "", hidden: true });
  const invitation = h(
    "div",
    { class: "invitation" },
    h("span", { class: "frame", "aria-hidden": "true" }),
    h("strong", {}, touch ? "Tap to choose a photo" : "Drop a photo here"),
    h("span", { class: "hint" }, touch ? "or take one below" : "or paste one, or choose below"),
  );
  const note = h("p", { class: "hint note" });
  const zone = h("label", { class: "zone", for: id }, invitation, preview);

  const take = async (file) => {
    if (!file) return;
    try {
      chosen = await prepare(file, limits);
    } catch (problem) {
      fail(problem);
      return;
    }
    URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(chosen.file);
    preview.alt = `The chosen image, ${chosen.name}`;
    preview.hidden = false;
    invitation.hidden = true;
    // What the browser cannot show, the server may know.
    preview.onerror = () => {
      preview.hidden = true;
      invitation.hidden = false;
    };
    note.replaceChildren(...described(chosen));
    submit();
  };
  for (const field of [input, capture]) {
    field.onchange = () => {
      take(field.files[0]);
      // The same file again is a change, too.
      field.value = "";
    };
  }
  const example = async () => {
    try {
      const path = `playground/models/${encodeURIComponent(model.name)}/example`;
      const file = await (await ask(path)).blob();
      const type = await typeOf(file);
      take(new File([file], `example.${type.split("/")[1].replace("jpeg", "jpg")}`, { type }));
    } catch (problem) {
      fail(problem);
    }
  };
  const camera = async () => take(await photograph(() => capture.click()));
  const button = (label, onclick) => h("button", { type: "button", onclick }, label);
  const choose = button("Choose a file", () => input.click());
  const element = h(
    "div",
    { class: "editor" },
    input,
    capture,
    zone,
    h(
      "div",
      { class: "actions" },
      choose,
      button("Take a photo", camera),
      model.examples.some((one) => one === "image") ? button("Use an example", example) : null,
    ),
    note,
  );

  return {
    element,
    take,
    focus: () => choose.focus(),
    missing: "Choose an image first.",
    request: () => chosen && { type: chosen.type, file: chosen.file, name: chosen.name },
    mark: (problem) => zone.classList.toggle("bad", Boolean(problem)),
    subject: () => chosen?.name ?? "no image",
  };
}

// What is said of the image below it.
function described({ name, file, width, height, from }) {
  const size = width ? `${width} × ${height}, ` : "";
  const parts = [h("b", {}, name), ` ${size}${bytes(file.size)}`];
  if (from) {
    const save = h("a", { download: name, href: URL.createObjectURL(file) }, "Save what was sent");
    parts.push(`. Made from ${from}, which this server does not take as it is. `, save);
  }
  return parts;
}

// An image that the server takes: as it is if it can be, else smaller or as JPEG. What the browser cannot
// read is sent as it is, for the server to say what is wrong with it.
async function prepare(file, limits) {
  const name = file.name || `pasted.${(file.type.split("/")[1] ?? "png").replace("jpeg", "jpg")}`;
  const asIt = { file, name, type: file.type || "application/octet-stream" };
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return asIt;
  }
  const { width, height } = bitmap;
  const most = limits.max_image_pixels;
  const shrink = Math.min(
    1,
    limits.max_image_side / Math.max(width, height),
    Math.sqrt(most / (width * height)),
  );
  const fits = shrink === 1 && file.size <= limits.max_body_size;
  if (fits && SERVED.includes(file.type)) {
    bitmap.close();
    return { ...asIt, width, height };
  }
  const canvas = h("canvas");
  canvas.width = Math.floor(width * shrink);
  canvas.height = Math.floor(height * shrink);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const made = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  if (!made) return asIt;
  const from = `${width} × ${height}, ${bytes(file.size)}${file.type ? `, ${file.type}` : ""}`;
  const renamed = `${name.replace(/\.\w+$/, "")}-smaller.jpg`;
  return {
    file: made,
    name: renamed,
    type: "image/jpeg",
    width: canvas.width,
    height: canvas.height,
    from,
  };
}

// The type of a file that came without one, by its first bytes.
async function typeOf(file) {
  const head = new Uint8Array(await file.slice(0, 12).arrayBuffer());
  const text = String.fromCharCode(...head);
  if (head[0] === 0xff && head[1] === 0xd8) return "image/jpeg";
  if (text.startsWith("\x89PNG")) return "image/png";
  if (text.startsWith("GIF8")) return "image/gif";
  if (text.startsWith("BM")) return "image/bmp";
  return "image/webp";
}
