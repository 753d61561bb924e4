// Dialogs: a question before something is stopped, limits, the token, the keys. The browser's own element traps the focus,
// closes by Esc and gives the focus back.

import { button, h } from "./dom.js";
import { duration, parseDuration } from "./format.js";

let number = 0;

/**
 * Shows a dialog and gives what `submit` returned, or `null` where it was closed otherwise.
 *
 * `submit` may throw an `Error`: its message is shown and the dialog stays.
 */
function show({ title, content, action, danger = false, submit = () => true, cancel = "Cancel" }) {
  const id = `dialog-${(number += 1)}`;
  const problem = h("p", { class: "problem", role: "alert" });
  const accept = h("button", { type: "submit", class: danger ? "danger" : "primary" }, action);
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id }, title),
    content,
    problem,
    h("div", { class: "row end" }, cancel && button(cancel, () => dialog.close()), accept),
  );
  const dialog = h("dialog", { "aria-labelledby": id }, form);
  return new Promise((resolve) => {
    let result = null;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      accept.disabled = true;
      problem.textContent = "";
      try {
        result = await submit();
        dialog.close();
      } catch (error) {
        problem.textContent = error.help ? `${error.message} – ${error.help}` : error.message;
      }
      accept.disabled = false;
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Asks before something is done that cannot be undone; `act` does it while the dialog is there. */
export function confirm(title, text, action, act) {
  return show({ title, content: h("p", {}, text), action, danger: true, submit: act, cancel: "Keep running" });
}

/** Asks for new limits; gives the changed ones as the interface wants them. */
export function editLimits(limits, save) {
  const concurrency = numberField("Trials at a time", limits.concurrency, { required: true });
  const maxTrials = numberField("Most trials in all", limits.maxTrials, { placeholder: "no limit" });
  const before = limits.maxDurationMs === null ? "" : duration(limits.maxDurationMs);
  const longest = h("input", { value: before, placeholder: "no limit", "aria-describedby": "duration-hint" });
  const content = h(
    "div",
    { class: "fields" },
    concurrency.label,
    maxTrials.label,
    h("label", { class: "field" }, h("span", {}, "Longest duration"), longest),
    h("p", { class: "hint", id: "duration-hint" }, "For example 90 min, 2h 30m or 1d. Empty is no limit."),
  );
  const submit = async () => {
    const changed = {};
    const take = (name, value) => {
      if (value !== limits[name]) changed[name] = value;
    };
    take("concurrency", concurrency.number());
    take("maxTrials", maxTrials.number());
    const text = longest.value.trim();
    if (text !== before) {
      const ms = text === "" ? null : parseDuration(text);
      if (text !== "" && ms === null) throw new Error("the duration is not understood: write 90 min, 2h 30m or 1d");
      take("maxDurationMs", ms);
    }
    if (Object.keys(changed).length > 0) await save(changed);
    return changed;
  };
  return show({ title: "Limits", content, action: "Save", submit });
}

function numberField(name, value, properties) {
  const input = h("input", { type: "number", min: 1, step: 1, value: value ?? "", ...properties });
  return {
    label: h("label", { class: "field" }, h("span", {}, name), input),
    number: () => (input.value === "" ? null : Number(input.value)),
  };
}

/** Asks for the token of the server. */
export function askToken(use) {
  const input = h("input", { type: "password", autocomplete: "off", required: true });
  const content = h(
    "div",
    { class: "fields" },
    h("p", {}, "This server wants its token. It is in the file that `tsctl` named when it began to serve, most often `rest.token` in the experiment's directory."),
    h("label", { class: "field" }, h("span", {}, "Token"), input),
  );
  return show({ title: "Token", content, action: "Go on", submit: () => use(input.value.trim()), cancel: null });
}

/** Shows what the keys do. */
export function showKeys(keys) {
  const rows = keys.map(([key, what]) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, key)), h("td", {}, what)));
  return show({ title: "Keyboard", content: h("table", { class: "keys" }, h("tbody", {}, rows)), action: "Close", cancel: null });
}
