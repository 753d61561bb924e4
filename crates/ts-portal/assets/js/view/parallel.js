// Parameters and results of all trials as parallel coordinates, with brushes by pointer and by fields.

import { axis, passes, topRows } from "../axes.js";
import { Parallel } from "../chart/parallel.js";
import { button, choice, h, setText } from "../dom.js";
import { count, number } from "../format.js";

const RESULT = "result";
/** Axes that are shown unless somebody chooses others. */
const SHOWN = 12;

export class ParallelView {
  title = "Parameters";
  #store;
  #brushes = new Map();
  #kinds = new Map();
  #order = null;
  #hidden = new Set();
  #percent = 100;
  #selected = [];
  #controlsOf = "";

  constructor(store, { openTrial, showInList }) {
    this.#store = store;
    this.chart = new Parallel({
      label: "Parameters and results of trials",
      height: 420,
      onOpen: (i) => openTrial(this.chart.item(i).id),
      onBrush: (name, brush) => this.#setBrush(name, brush),
    });
    this.state = h("span", { class: "muted", role: "status" });
    this.percent = h("input", {
      type: "range",
      min: 1,
      max: 100,
      value: 100,
      oninput: () => {
        this.#percent = Number(this.percent.value);
        this.update();
      },
    });
    this.percentText = h("output", {}, "100 %");
    this.clear = button("Clear brushes", () => {
      this.#brushes.clear();
      this.#controlsOf = "";
      this.update();
    }, { class: "small" });
    const list = button("Show in the list", () => showInList(new Set(this.#selected.map((row) => row.id)), `${count(this.#selected.length)} from the parameters`), { class: "small" });
    this.controls = h("tbody");
    const heads = ["Axis", "Shown", "Scale", "From", "To", "Move"].map((name) => h("th", { scope: "col" }, name));
    this.root = h(
      "section",
      { class: "view", "aria-label": "Parameters" },
      h(
        "div",
        { class: "toolbar" },
        h("label", { class: "field" }, h("span", {}, "Best"), this.percent, this.percentText),
        this.clear,
        list,
        this.state,
        h("span", { class: "grow" }),
        h("span", { class: "legend", "aria-hidden": "true" }, "worse", h("span", { class: "ramp" }), "better"),
      ),
      h("div", { class: "wide", tabindex: 0, role: "group", "aria-label": "Chart" }, this.chart.root),
      h("p", { class: "hint" }, "Pull along an axis to keep a range; press it to let all through again. Lines of trials without a value pass below."),
      h("details", { class: "axes" }, h("summary", {}, "Axes"), h("table", { class: "plain" }, h("thead", {}, h("tr", {}, heads)), this.controls)),
    );
  }

  update() {
    const rows = [...this.#store.trials.values()];
    const names = this.#names();
    const space = this.#store.experiment?.searchSpace ?? {};
    const axes = names
      .filter((name) => !this.#hidden.has(name))
      .map((name) =>
        name === RESULT
          ? axis(name, (row) => row.final, null, rows, this.#kinds.get(name))
          : axis(name, (row) => row.params.get(name), space[name] ?? null, rows, this.#kinds.get(name)),
      );
    const top = topRows(rows, this.#percent, this.#store.minimizes);
    this.#selected = top.filter((row) => passes(row, axes, this.#brushes));
    const chosen = new Set(this.#selected);
    this.chart.minimizes = this.#store.minimizes;
    this.chart.show(axes, this.#selected, rows.filter((row) => !chosen.has(row)), this.#brushes);
    setText(this.percentText, `${this.#percent} %`);
    setText(this.state, `${count(this.#selected.length)} of ${count(rows.length)} trials`);
    this.clear.disabled = this.#brushes.size === 0;
    this.chart.say(rows.length === 0 ? "No trial yet." : names.length === 1 ? "The trials have no parameters." : "");
    this.#showControls(names, axes);
  }

  #names() {
    const known = [...this.#store.shownParameters(), RESULT];
    if (this.#order === null || this.#order.length !== known.length || !known.every((name) => this.#order.includes(name))) {
      const isNew = this.#order === null;
      this.#order = known;
      if (isNew && known.length > SHOWN + 1) for (const name of known.slice(SHOWN, -1)) this.#hidden.add(name);
    }
    return this.#order;
  }

  #setBrush(name, brush) {
    if (brush === null) this.#brushes.delete(name);
    else this.#brushes.set(name, brush);
    this.#controlsOf = "";
    this.update();
  }

  #showControls(names, axes) {
    const now = JSON.stringify([names, axes.map((a) => [a.name, a.kind])]);
    if (now === this.#controlsOf || this.controls.contains(document.activeElement)) return;
    this.#controlsOf = now;
    this.controls.replaceChildren(...names.map((name, i) => this.#control(name, i, axes.find((a) => a.name === name))));
  }

  #control(name, index, shown) {
    const box = h("input", {
      type: "checkbox",
      "aria-label": `Show ${name}`,
      checked: shown !== undefined,
      onchange: () => {
        if (box.checked) this.#hidden.delete(name);
        else this.#hidden.add(name);
        this.#again();
      },
    });
    const kinds = shown?.isText ? [["category", "category"]] : [["linear", "linear"], ["log", "logarithmic"], ["category", "category"]];
    const kind = shown
      ? choice({ name: `Scale of ${name}` }, kinds, shown.kind, (value) => {
          this.#kinds.set(name, value);
          this.#brushes.delete(name);
          this.#again();
        })
      : "";
    const [from, to] = shown ? this.#brushFields(shown) : ["", ""];
    const move = (by) => button(by < 0 ? "↑" : "↓", () => this.#move(index, by), { class: "small", "aria-label": `Move ${name} ${by < 0 ? "left" : "right"}` });
    return h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, box), h("td", {}, kind), h("td", {}, from), h("td", {}, to), h("td", {}, move(-1), move(1)));
  }

  #brushFields(shown) {
    const { name } = shown;
    const brush = this.#brushes.get(name);
    if (shown.kind === "category") {
      const all = new Map(shown.values.map((v) => [String(v), v]));
      const chosen = brush?.values?.size === 1 ? String([...brush.values][0]) : "";
      const field = choice({ name: `Value of ${name}` }, [["", "all"], ...[...all.keys()].map((v) => [v, v])], chosen, (text) =>
        this.#setBrush(name, text === "" ? null : { values: new Set([all.get(text)]) }),
      );
      return [field, ""];
    }
    const ends = ["from", "to"].map((end) =>
      h("input", { class: "short", inputmode: "decimal", "aria-label": `${name} ${end}`, value: brush ? number(end === "from" ? brush.low : brush.high) : "", onchange: () => set() }),
    );
    const set = () => {
      const [low, high] = ends.map((field) => (field.value.trim() === "" ? null : Number(field.value)));
      if (Number.isNaN(low) || Number.isNaN(high)) return;
      this.#setBrush(name, low === null && high === null ? null : { low: low ?? -Infinity, high: high ?? Infinity });
    };
    return ends;
  }

  #move(index, by) {
    const to = index + by;
    if (to < 0 || to >= this.#order.length) return;
    const order = [...this.#order];
    [order[index], order[to]] = [order[to], order[index]];
    this.#order = order;
    this.#again();
  }

  /** Draws anew what somebody changed in the controls, and keeps the focus about there. */
  #again() {
    const label = document.activeElement?.getAttribute("aria-label");
    document.activeElement?.blur();
    this.#controlsOf = "";
    this.update();
    if (label) this.controls.querySelector(`[aria-label="${CSS.escape(label)}"]`)?.focus();
  }
}
