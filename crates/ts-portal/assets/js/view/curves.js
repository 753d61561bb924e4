// Intermediate results of many trials in one chart.

import { get, pages } from "../api.js";
import { Lines } from "../chart/lines.js";
import { choice, h, setText, toast } from "../dom.js";
import { count } from "../format.js";

const PAGE = 1000;
/** Most trials that are asked for by id in one request. */
const MAX_IDS = 50;

export class CurvesView {
  title = "Curves";
  #store;
  #trialsView;
  #values = new Map();
  #choice = "newest";
  #n = 50;
  #isReading = false;
  #isAgain = false;
  #read = 0;

  constructor(store, { openTrial, trialsView }) {
    this.#store = store;
    this.#trialsView = trialsView;
    this.chart = new Lines({ label: "Intermediate results of trials", height: 460, onOpen: (i) => openTrial(this.chart.item(i).id) });
    this.state = h("span", { class: "muted", role: "status" });
    const logBox = h("input", {
      type: "checkbox",
      onchange: () => {
        this.chart.isLog = logBox.checked;
        this.chart.redraw();
      },
    });
    const outlierBox = h("input", {
      type: "checkbox",
      onchange: () => {
        this.chart.ignoresOutliers = outlierBox.checked;
        this.chart.redraw();
      },
    });
    const sizes = [10, 50, 200, 1000, 10_000].map((n) => [String(n), count(n)]);
    this.root = h(
      "section",
      { class: "view", "aria-label": "Curves" },
      h(
        "div",
        { class: "toolbar" },
        choice({ name: "Which trials", label: "Show" }, [["newest", "newest"], ["best", "best"], ["listed", "first in the list"]], this.#choice, (value) => {
          this.#choice = value;
          this.#readAll();
        }),
        choice({ name: "How many trials", label: "of" }, sizes, String(this.#n), (value) => {
          this.#n = Number(value);
          this.#readAll();
        }),
        h("label", { class: "check" }, logBox, h("span", {}, "Logarithmic")),
        h("label", { class: "check" }, outlierBox, h("span", {}, "Leave out outliers")),
        this.state,
        h("span", { class: "grow" }),
        h("span", { class: "legend", "aria-hidden": "true" }, "worse", h("span", { class: "ramp" }), "better"),
      ),
      this.chart.root,
    );
  }

  /** Is called when the view comes into sight. */
  enter() {
    this.#readAll();
  }

  update() {
    this.#show();
  }

  /** A metric came: curves in sight grow. */
  onMetric({ id, value, kind }) {
    const values = this.#values.get(id);
    if (values === undefined || kind === "FINAL") return;
    values.push(typeof value === "number" ? value : (value?.default ?? null));
  }

  #wanted() {
    const rows = this.#choice === "listed" ? this.#trialsView.rows : [...this.#store.trials.values()];
    if (this.#choice === "newest") rows.sort((a, b) => b.seq - a.seq);
    if (this.#choice === "best") {
      const sign = this.#store.minimizes ? 1 : -1;
      const key = (row) => (row.result === null || Number.isNaN(row.result) ? Infinity : sign * row.result);
      rows.sort((a, b) => key(a) - key(b));
    }
    return rows.slice(0, this.#n);
  }

  /** Reads the curves that are wanted: those that are close together by pages, others by their ids. */
  async #readAll() {
    this.#isAgain = this.#isReading;
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      do {
        this.#isAgain = false;
        await this.#readWanted();
      } while (this.#isAgain);
    } catch (error) {
      toast(`The curves cannot be read: ${error.message}`, "error");
    }
    this.#isReading = false;
    this.#show();
  }

  async #readWanted() {
    const wanted = this.#wanted().filter((row) => row.nMetrics > 0);
    if (wanted.length === 0) return;
    const seqs = wanted.map((row) => row.seq);
    const first = Math.min(...seqs);
    const last = Math.max(...seqs);
    this.#read = 0;
    if (last - first < 4 * wanted.length + PAGE) {
      for await (const page of pages("metrics", { after: first === 0 ? undefined : first - 1, limit: PAGE })) {
        this.#take(page);
        if (page.next === null || page.next >= last || this.#isAgain) return;
      }
    } else {
      for (let at = 0; at < wanted.length && !this.#isAgain; at += MAX_IDS) {
        const id = wanted.slice(at, at + MAX_IDS).map((row) => row.id).join(",");
        this.#take(await get("metrics", { id, limit: MAX_IDS }));
      }
    }
  }

  #take(page) {
    for (const { id, values } of page.trials) this.#values.set(id, values.map((v) => (typeof v === "number" ? v : null)));
    this.#read += page.trials.length;
    setText(this.state, `${count(this.#read)} read…`);
    this.#show();
  }

  #show() {
    this.chart.minimizes = this.#store.minimizes;
    const series = [];
    for (const row of this.#wanted()) {
      const values = this.#values.get(row.id);
      if (values && values.some((v) => typeof v === "number")) series.push({ id: row.id, seq: row.seq, result: row.result, values });
    }
    this.chart.show(series);
    const isSome = series.length > 0;
    if (!this.#isReading) setText(this.state, isSome ? `${count(series.length)} curves` : "");
    const none = this.#store.trials.size === 0 ? "No trial yet." : "None of these trials has reported an intermediate result.";
    this.chart.say(isSome || this.#isReading ? "" : none);
  }
}
