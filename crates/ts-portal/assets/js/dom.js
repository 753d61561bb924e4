// Elements from code. Text from outside only ever becomes text: nothing here takes markup.

/**
 * An element with properties and children.
 *
 * `class`, `data-…`, `aria-…` and other attributes are set as such, `onclick` and the like must be functions, `undefined`,
 * `null` and `false` leave an attribute out. Children are elements or text.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return element;
}

function set(element, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (typeof value === "function") element.addEventListener(name.slice(2), value);
  else if (name === "value" || name === "checked") element[name] = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** Sets text only where it differs, which spares a layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A button. */
export const button = (text, onclick, properties = {}) => h("button", { type: "button", onclick, ...properties }, text);

/** A button that copies what `text()` gives, and says so. */
export function copyButton(what, text) {
  const copy = async (event) => {
    const pressed = event.currentTarget;
    const before = pressed.textContent;
    try {
      await copyText(text());
      pressed.textContent = "Copied";
    } catch {
      pressed.textContent = "Not copied";
    }
    setTimeout(() => setText(pressed, before), 1200);
  };
  return button("Copy", copy, { class: "small", "aria-label": `Copy ${what}` });
}

async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without HTTPS and off this machine a page has no clipboard but this one.
  const field = h("textarea", { class: "offscreen", value: text });
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("the browser refuses");
}

/** Status of a trial or an experiment: a mark and a word. */
export const chip = (status, text) => h("span", { class: "chip", "data-status": status }, text);

/** Tells something in passing; errors stay longer. */
export function toast(text, kind = "info") {
  const box = document.getElementById("toasts");
  const line = h("div", { class: `toast ${kind}` }, text);
  if (kind === "error") line.setAttribute("role", "alert");
  box.append(line);
  setTimeout(() => line.remove(), kind === "error" ? 10_000 : 4000);
}

/** A word, and below it what goes with it. */
export const fact = (name, ...content) => h("div", { class: "fact" }, h("dt", {}, name), h("dd", {}, ...content));

/** One of several choices: a select named `name`, with `label` before it. */
export function choice({ name, label = "" }, options, chosen, onchange) {
  const select = h(
    "select",
    { "aria-label": name, onchange: () => onchange(select.value) },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
  );
  return h("label", { class: "field" }, label && h("span", { "aria-hidden": "true" }, label), select);
}
