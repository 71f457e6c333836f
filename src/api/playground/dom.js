// Elements in one call, and numbers as people read them.

const SVG = "http://www.w3.org/2000/svg";

// Makes an element. Functions among the properties are listeners (`onclick`), `class`, `for`, `aria-…`
// and the like are attributes; children are nodes or text, and null ones are left out.
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element[name] = value;
    else if (name === "value") element.value = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

export const byId = (id) => document.getElementById(id);

let last = 0;
export const newId = (name) => `${name}-${++last}`;

// Whole numbers as they are, others by three digits: 1234, 56.7, 8.9, 0.123.
export function short(number) {
  if (!Number.isFinite(number)) return "–";
  const size = Math.abs(number);
  if (size >= 1e6) return `${(number / 1e6).toPrecision(3)}\u202fM`;
  if (size >= 1e4) return `${(number / 1e3).toPrecision(3)}\u202fk`;
  if (size >= 100) return number.toFixed(0);
  return String(Number(number.toPrecision(3)));
}

export function milliseconds(ms) {
  return ms >= 1000 ? `${short(ms / 1000)}\u202fs` : `${short(ms)}\u202fms`;
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) {
    count /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? count : short(count)}\u202f${units[unit]}`;
}

export function percent(share) {
  if (share > 0 && share < 0.001) return "<\u202f0.1\u202f%";
  const hundredths = share * 100;
  return `${Number.isInteger(hundredths) ? hundredths : hundredths.toFixed(1)}\u202f%`;
}

// A button that copies what `text()` gives, and says so.
export function copyButton(text, label) {
  const button = h("button", { type: "button", class: "copy", "aria-label": label }, "Copy");
  button.onclick = async () => {
    button.textContent = (await copy(text())) ? "Copied" : "Select it";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  };
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Over plain HTTP from another machine there is no clipboard to write to but this old way.
    const area = h("textarea", { value: text, class: "unseen", readonly: true });
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

// Tabs as the ARIA practices have them: arrows, Home and End move, and what is reached is shown.
export function tabList(list, show) {
  const tabs = () => [...list.querySelectorAll('[role="tab"]')];
  const select = (tab) => {
    for (const other of tabs()) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      byId(other.getAttribute("aria-controls")).hidden = !chosen;
    }
    show?.(tab);
  };
  list.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab) select(tab);
  });
  list.addEventListener("keydown", (event) => {
    const all = tabs();
    const at = all.indexOf(document.activeElement);
    const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 };
    if (!(event.key in moves) || at < 0) return;
    event.preventDefault();
    const tab = all[(moves[event.key] + all.length) % all.length];
    tab.focus();
    select(tab);
  });
  return select;
}
