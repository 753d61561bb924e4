// One trial beside the list: why it is as it is, parameters, curve, metrics, logs.

import { actOn } from "./actions.js";
import { get, trialPath } from "./api.js";
import { Marks } from "./chart/marks.js";
import { confirm } from "./dialog.js";
import { button, copyButton, fact, h, setText } from "./dom.js";
import { duration, instant, number, time, trialStatus, value, verdict } from "./format.js";
import { flatten, unwrap } from "./parameters.js";
import { LogView } from "./logs.js";

/** Most metrics that are read for the curve, and rows in their list. */
const MAX_METRICS = 10_000;
const LISTED = 200;

export class Detail {
  #store;
  #id = null;
  #seen = "";
  #abort = null;
  #metrics = [];

  constructor(root, store, { close }) {
    this.root = root;
    this.#store = store;
    this.close = close;
    this.logs = new LogView();
    this.heading = h("h2", { id: "detail-title", tabindex: -1 });
    this.status = h("span", { class: "chip" });
    this.cancel = button("Cancel", () => this.#cancel(), { class: "danger small" });
    this.retry = button("Retry", () => this.#retry(), { class: "small" });
    this.tabs = ["Trial", "Logs"].map((name, i) =>
      h("button", { type: "button", role: "tab", id: `detail-tab-${i}`, "aria-controls": `detail-panel-${i}`, onclick: () => this.#showTab(i) }, name),
    );
    this.facts = h("dl", { class: "facts" });
    this.tail = h("pre", { class: "tail", "aria-label": "End of stderr", tabindex: 0, hidden: true });
    this.parameters = h("tbody");
    this.curve = new Marks({ label: "Intermediate results", height: 180, x: "Step", lines: true });
    this.metrics = h("div");
    const copyParameters = copyButton("parameters as JSON", () => JSON.stringify(this.trial?.parameters ?? null, null, 2));
    this.panels = [
      h(
        "div",
        {},
        this.facts,
        this.tail,
        h("div", { class: "row" }, h("h3", {}, "Parameters"), copyParameters),
        h("table", { class: "plain" }, this.parameters),
        h("h3", {}, "Metrics"),
        this.curve.root,
        this.metrics,
      ),
      h("div", {}, this.logs.root),
    ];
    this.panels.forEach((panel, i) => {
      for (const [name, text] of [["role", "tabpanel"], ["id", `detail-panel-${i}`], ["aria-labelledby", `detail-tab-${i}`]]) panel.setAttribute(name, text);
    });
    root.setAttribute("role", "dialog");
    root.setAttribute("aria-labelledby", "detail-title");
    root.append(
      h("div", { class: "row detail-head" }, this.heading, this.status, h("span", { class: "grow" }), this.cancel, this.retry, button("✕", close, { class: "quiet", "aria-label": "Close" })),
      h("div", { role: "tablist", class: "tabs", "aria-label": "Trial", onkeydown: (event) => this.#tabKey(event) }, this.tabs),
      ...this.panels,
    );
    root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
    });
    this.#showTab(0);
  }

  /** The trial that is shown; `null` without one. */
  get id() {
    return this.#id;
  }

  get isOpen() {
    return this.#id !== null;
  }

  /** Shows this trial; `null` shows none. */
  show(id, { focus = true } = {}) {
    const other = id !== this.#id;
    this.#id = id;
    this.root.hidden = id === null;
    document.body.classList.toggle("with-detail", id !== null);
    if (id === null) {
      this.logs.stop();
      this.#abort?.abort();
      return;
    }
    if (other) {
      this.#seen = "";
      this.trial = null;
      this.#metrics = [];
      this.facts.replaceChildren();
      this.tail.hidden = true;
      this.parameters.replaceChildren();
      this.metrics.replaceChildren();
      this.curve.show([]);
    }
    if (focus) this.heading.focus();
    this.update();
  }

  /** Reads the trial again where it has changed. */
  update() {
    if (this.#id === null) return;
    const row = this.#store.trials.get(this.#id);
    const seen = row ? `${row.status} ${row.nMetrics} ${row.reason?.message} ${row.ended}` : "?";
    setText(this.heading, row ? `Trial #${row.seq}` : "Trial");
    if (row) this.#showStatus(row);
    if (row && !this.panels[1].hidden) this.logs.show(row);
    if (seen === this.#seen) return;
    this.#seen = seen;
    this.#read(this.#id);
  }

  #showStatus(row) {
    this.status.dataset.status = row.status;
    setText(this.status, trialStatus(row.status));
    this.cancel.hidden = row.isEnded || this.#store.isReadOnly;
    this.retry.hidden = !row.isEnded || this.#store.isReadOnly;
  }

  async #read(id) {
    this.#abort?.abort();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    try {
      const [trial, metrics] = await Promise.all([get(trialPath(id, "/explain"), {}, signal), this.#readMetrics(id, signal)]);
      if (signal.aborted) return;
      this.trial = trial;
      this.#metrics = metrics;
      this.#showTrial(trial);
      this.#showMetrics(metrics);
    } catch (error) {
      if (error.name === "AbortError") return;
      const gone = error.status === 404;
      // The same question is asked again with the next change.
      if (!gone) this.#seen = "";
      this.facts.replaceChildren(fact("Problem", gone ? "There is no such trial in this experiment." : error.message));
    }
  }

  async #readMetrics(id, signal) {
    const read = [];
    let after;
    while (read.length < MAX_METRICS) {
      const page = await get(trialPath(id, "/metrics"), { after, limit: 1000 }, signal);
      read.push(...page.metrics);
      if (page.next === null || page.next === undefined) break;
      after = page.next;
    }
    return read;
  }

  #showTrial(trial) {
    const { reason } = trial;
    const started = instant(trial.startedAt);
    const ended = instant(trial.endedAt);
    const facts = [
      fact("Id", h("code", {}, trial.id), copyButton("the trial's id", () => trial.id)),
      reason && fact("Reason", `${reason.message} (${reason.code})`),
      reason?.unblock && fact("What would help", reason.unblock),
      reason?.verdict && fact("Caused by", verdict(reason.verdict)),
      trial.summary && fact("State", trial.summary),
      fact("Result", resultText(trial)),
      trial.cancelRequested && fact("End asked for", value(trial.cancelRequested)),
      trial.retryOf && fact("Retry of", h("a", { href: `#/trials/${encodeURIComponent(trial.retryOf)}` }, trial.retryOf)),
      trial.attempt > 1 && fact("Attempt", String(trial.attempt)),
      fact("Created", time(instant(trial.createdAt))),
      started !== null && fact("Started", time(started)),
      ended !== null && fact("Ended", time(ended)),
      started !== null && ended !== null && fact("Duration", duration(ended - started)),
      trial.url && fact("Where", link(trial.url)),
      trial.command && fact("Command", h("code", {}, trial.command)),
    ];
    this.facts.replaceChildren(...facts.filter(Boolean));
    const tail = trial.status === "FAILED" ? (trial.stderrTail ?? []) : [];
    this.tail.textContent = tail.join("\n");
    this.tail.hidden = tail.length === 0;
    const given = [...flatten(trial.parameters)].map(([name, v]) =>
      h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, typeof v === "number" ? String(v) : value(v))),
    );
    const none = unwrap(trial.parameters) === null ? "none" : "no names";
    this.parameters.replaceChildren(...(given.length > 0 ? given : [h("tr", {}, h("td", { class: "muted" }, none))]));
  }

  #showMetrics(metrics) {
    const steps = metrics.filter((m) => m.kind !== "FINAL");
    const points = steps.map((m, i) => ({ x: i, y: m.number, words: [`Step ${i}`, value(m.value)] }));
    this.curve.show(points);
    this.curve.root.hidden = !points.some((p) => typeof p.y === "number");
    const rows = metrics
      .slice(-LISTED)
      .reverse()
      .map((m) => h("tr", {}, h("td", {}, m.kind === "FINAL" ? "final" : String(m.sequence)), h("td", {}, time(instant(m.at))), h("td", {}, value(m.value))));
    if (rows.length === 0) {
      this.metrics.replaceChildren(h("p", { class: "muted" }, "This trial has reported nothing."));
      return;
    }
    const head = h("tr", {}, ["Step", "Time", "Value"].map((name) => h("th", { scope: "col" }, name)));
    const more = metrics.length > LISTED ? h("p", { class: "muted" }, `The newest ${LISTED} of ${metrics.length}.`) : null;
    this.metrics.replaceChildren(...[more, h("table", { class: "plain" }, h("thead", {}, head), h("tbody", {}, rows))].filter(Boolean));
  }

  #showTab(chosen) {
    this.tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === chosen));
      tab.tabIndex = i === chosen ? 0 : -1;
      this.panels[i].hidden = i !== chosen;
    });
    const row = this.#store.trials.get(this.#id);
    if (chosen === 1 && row) this.logs.show(row);
    else this.logs.stop();
  }

  #tabKey(event) {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const next = 1 - this.tabs.indexOf(document.activeElement);
    this.#showTab(next);
    this.tabs[next].focus();
    event.preventDefault();
  }

  #cancel() {
    const row = this.#store.trials.get(this.#id);
    return confirm("Cancel the trial?", `Trial #${row.seq} is ended.`, "Cancel the trial", () => actOn([row], "cancel"));
  }

  #retry() {
    return actOn([this.#store.trials.get(this.#id)], "retry");
  }
}

function resultText(trial) {
  if (trial.finalNumber !== null && trial.finalNumber !== undefined) {
    const whole = trial.finalValue;
    return typeof whole === "object" && whole !== null ? `${number(trial.finalNumber)} of ${value(whole)}` : String(trial.finalNumber);
  }
  return trial.finalValue === null || trial.finalValue === undefined ? "none" : `${value(trial.finalValue)} (no number)`;
}

/** Only web addresses become links; others, such as `file:` and `javascript:`, stay text. */
function link(url) {
  return /^https?:\/\//i.test(url) ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, url) : h("code", {}, url);
}
