// How the experiment goes on: results with the best so far, and how long trials took.

import { Marks } from "../chart/marks.js";
import { choice, h } from "../dom.js";
import { duration, number, trialStatus } from "../format.js";

export class ChartsView {
  title = "Progress";
  #store;
  #byTime = false;

  constructor(store, { openTrial }) {
    this.#store = store;
    this.results = new Marks({ label: "Results, and the best so far", height: 280, x: "Trial", onOpen: (i) => openTrial(this.results.item(i).id) });
    this.durations = new Marks({ label: "Durations of trials", height: 240, x: "Trial", bars: true, onOpen: (i) => openTrial(this.durations.item(i).id) });
    this.durations.yIsTime = true;
    this.root = h(
      "section",
      { class: "view", "aria-label": "Progress" },
      h(
        "div",
        { class: "toolbar" },
        h("h2", {}, "Best so far"),
        choice({ name: "Order", label: "by" }, [["number", "trial"], ["time", "end"]], "number", (value) => {
          this.#byTime = value === "time";
          this.update();
        }),
      ),
      this.results.root,
      h("h2", {}, "Durations"),
      this.durations.root,
    );
  }

  update() {
    const rows = [...this.#store.trials.values()].sort((a, b) => a.seq - b.seq);
    this.#showResults(rows);
    const timed = rows.filter((row) => row.duration() !== null);
    this.durations.show(
      timed.map((row) => ({
        id: row.id,
        x: row.seq,
        y: row.duration(),
        status: row.status,
        words: [`Trial #${row.seq}`, trialStatus(row.status), duration(row.duration())],
      })),
    );
    this.durations.say(timed.length === 0 ? "No trial has started yet." : "");
  }

  #showResults(rows) {
    const start = Date.parse(this.#store.experiment?.startedAt ?? "");
    const done = rows.filter((row) => row.final !== null && (!this.#byTime || row.ended !== null));
    const items = done.map((row) => ({
      id: row.id,
      x: this.#byTime ? row.ended - start : row.seq,
      y: row.final,
      words: [`Trial #${row.seq}`, `Result ${number(row.final)}`],
    }));
    items.sort((a, b) => a.x - b.x);
    this.results.best = this.#store.minimizes ? "min" : "max";
    this.results.xName = this.#byTime ? "Time since the start" : "Trial";
    this.results.xIsTime = this.#byTime;
    this.results.show(items);
    this.results.say(items.length === 0 ? "No trial has a result that is a number yet." : "");
  }
}
