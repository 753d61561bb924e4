// What the experiment was given: search space, limits, directory.

import { copyButton, fact, h } from "../dom.js";
import { count, duration, value } from "../format.js";

export class ExperimentView {
  title = "Experiment";
  #store;
  #shown = "";

  constructor(store) {
    this.#store = store;
    this.root = h("section", { class: "view prose", "aria-label": "Experiment" });
  }

  update() {
    const { experiment } = this.#store;
    if (experiment === null) return;
    const { limits = {}, searchSpace } = experiment;
    const now = JSON.stringify([experiment.id, limits, searchSpace, experiment.directory, experiment.optimize, experiment.message]);
    if (now === this.#shown) return;
    this.#shown = now;
    const limit = (v, show) => (v === null || v === undefined ? "no limit" : show(v));
    const directory = String(experiment.directory ?? "");
    this.root.replaceChildren(
      h("h2", {}, "Experiment"),
      h(
        "dl",
        { class: "facts" },
        fact("Id", h("code", {}, experiment.id)),
        fact("Directory", h("code", {}, directory), copyButton("the directory", () => directory)),
        fact("Optimize", value(experiment.optimize)),
        fact("Trials at a time", limit(limits.concurrency, count)),
        fact("Most trials", limit(limits.maxTrials, count)),
        fact("Longest duration", limit(limits.maxDurationMs, duration)),
      ),
      h("h2", {}, "Search space"),
      spaceTable(searchSpace),
    );
  }
}

function spaceTable(space) {
  const entries = space && typeof space === "object" ? Object.entries(space) : [];
  if (entries.length === 0) return h("p", { class: "muted" }, "This experiment has no search space.");
  const rows = entries.map(([name, entry]) =>
    h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value(entry?._type)), h("td", {}, h("code", {}, value(entry?._value ?? entry)))),
  );
  const head = ["Name", "Type", "Values"].map((text) => h("th", { scope: "col" }, text));
  return h("div", { class: "wide" }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)));
}
