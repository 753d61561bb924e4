// The list of trials: filters, search, order, columns, and what can be done to those that are chosen.

import { actOn } from "../actions.js";
import { confirm } from "../dialog.js";
import { button, h, setText } from "../dom.js";
import { parseQuery } from "../filter.js";
import { TRIAL_STATUSES, count, duration, number, time, trialStatus, value } from "../format.js";
import { compare } from "../parameters.js";
import { Table } from "../table.js";

/** Parameters that have a column unless somebody chooses others. */
const SHOWN_PARAMETERS = 8;
const FIXED = [
  { key: "seq", title: "#", width: 64, class: "number", value: (row) => row.seq, text: (row) => String(row.seq) },
  {
    key: "status",
    title: "Status",
    width: 158,
    value: (row) => trialStatus(row.status),
    text: (row) => trialStatus(row.status),
    status: (row) => row.status,
  },
  {
    key: "result",
    title: "Result",
    width: 104,
    class: "number",
    value: (row) => row.result,
    text: resultText,
    hint: (row) => (row.final === null && row.result !== null ? `${row.result}, not final` : String(row.result ?? "")),
    faint: (row) => row.final === null,
  },
  {
    key: "duration",
    title: "Duration",
    width: 96,
    class: "number",
    value: (row) => row.duration(),
    text: (row) => duration(row.duration() ?? Number.NaN),
  },
  { key: "started", title: "Started", width: 96, value: (row) => row.started, text: (row) => time(row.started) },
  {
    key: "reason",
    title: "Reason",
    width: 250,
    value: (row) => row.reason?.code,
    text: (row) => (row.reason ? row.reason.message : ""),
    hint: (row) => (row.reason ? [row.reason.code, row.reason.message, row.reason.unblock].filter(Boolean).join(" – ") : ""),
  },
];

function resultText(row) {
  if (row.result !== null) return number(row.result);
  return row.newest ? value(row.newest.value) : "–";
}

/** The view. It lives as long as the page, so that scrolling and filters stay when others are looked at. */
export class TrialsView {
  title = "Trials";
  #store;
  #statuses = new Set();
  #query = "";
  #extra = null;
  #names = null;
  #rowsOf = { version: -1 };
  #chosenParameters = null;

  constructor(store, { openTrial }) {
    this.#store = store;
    this.table = new Table({
      label: "Trials",
      empty: "",
      onOpen: openTrial,
      onOrder: () => this.#show(),
      onChoose: () => this.#showChosen(),
    });
    this.search = h("input", {
      type: "search",
      placeholder: "Search: word, lr<0.01, result>0.9",
      "aria-label": "Search trials",
      oninput: () => {
        this.#query = this.search.value;
        this.#show();
      },
    });
    this.filters = h("div", { class: "row wrap", role: "group", "aria-label": "Statuses" });
    this.found = h("span", { class: "muted", role: "status" });
    this.extraChip = button("", () => this.restrictTo(null, ""), { hidden: true });
    this.columns = h("details", { class: "menu" }, h("summary", {}, "Columns"), h("div", { class: "menu-body" }));
    this.cancel = button("Cancel", () => this.#actOnChosen("cancel"), { class: "danger small" });
    this.retry = button("Retry", () => this.#actOnChosen("retry"), { class: "small" });
    this.actions = h("div", { class: "row", hidden: true }, this.cancel, this.retry);
    this.root = h(
      "section",
      { class: "view trials-view", "aria-label": "Trials" },
      h("div", { class: "toolbar" }, this.search, this.filters, this.extraChip, this.found, h("span", { class: "grow" }), this.actions, this.columns),
      this.table.root,
    );
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.columns.open) {
        this.columns.open = false;
        this.columns.firstChild.focus();
        event.stopPropagation();
      }
    });
  }

  /** Shows only these trials, with words for why; `null` shows all. */
  restrictTo(ids, words) {
    this.#extra = ids;
    this.extraChip.hidden = ids === null;
    setText(this.extraChip, `${words} ✕`);
    this.#rowsOf.version = -1;
    this.update();
  }

  /** Rows that the filters let through, in the order shown. */
  get rows() {
    return this.#rowsOf.rows ?? [];
  }

  update() {
    const names = this.#store.shownParameters();
    const key = JSON.stringify(names);
    if (key !== this.#names) {
      this.#names = key;
      this.#setColumns(names);
    }
    this.#show();
  }

  #setColumns(names) {
    const shown = this.#chosenParameters ?? new Set(names.slice(0, SHOWN_PARAMETERS));
    this.#showColumns(names, shown);
    const boxes = names.map((name) => {
      const box = h("input", {
        type: "checkbox",
        checked: shown.has(name),
        onchange: () => {
          if (box.checked) shown.add(name);
          else shown.delete(name);
          this.#chosenParameters = shown;
          this.#showColumns(names, shown);
          this.#show();
        },
      });
      return h("label", { class: "check" }, box, h("span", {}, name));
    });
    this.columns.hidden = names.length === 0;
    this.columns.lastChild.replaceChildren(...boxes);
  }

  #showColumns(names, shown) {
    const columns = names
      .filter((name) => shown.has(name))
      .map((name) => ({
        key: `parameter ${name}`,
        title: name,
        width: 116,
        class: "number",
        text: (row) => (row.params.has(name) ? value(row.params.get(name)) : ""),
        hint: (row) => String(row.params.get(name) ?? ""),
      }));
    // Parameters come before the reason, which is the longest and mostly empty.
    this.table.setColumns([...FIXED.slice(0, -1), ...columns, FIXED.at(-1)]);
  }

  #show() {
    const store = this.#store;
    const counts = new Map();
    for (const row of store.trials.values()) counts.set(row.status, (counts.get(row.status) ?? 0) + 1);
    this.#showFilters(counts);
    const rows = this.#filtered();
    this.#rowsOf = { version: store.version, rows };
    const total = Math.max(store.trials.size, store.experiment?.trials?.total ?? 0);
    const reading = store.isComplete || total === 0 ? "" : `, ${count(total - store.trials.size)} being read`;
    setText(this.found, `${count(rows.length)} of ${count(total)}${reading}`);
    this.table.setRows(rows, this.#emptyWords(total));
    this.#showChosen();
  }

  #emptyWords(total) {
    if (total > 0) return "No trial fits the filters.";
    if (this.#store.experiment === null) return "Reading…";
    return this.#store.isReadOnly ? "This experiment ended before it had a trial." : "No trial yet. The first ones show up here as soon as they are created.";
  }

  #filtered() {
    const fits = parseQuery(this.#query);
    let rows = [...this.#store.trials.values()];
    if (this.#statuses.size > 0) rows = rows.filter((row) => this.#statuses.has(row.status));
    if (this.#extra !== null) rows = rows.filter((row) => this.#extra.has(row.id));
    if (fits !== null) rows = rows.filter(fits);
    return this.#sorted(rows);
  }

  #sorted(rows) {
    const { key, descending } = this.table.order;
    const sign = descending ? -1 : 1;
    if (key === "seq") return rows.sort((a, b) => sign * (a.seq - b.seq));
    const column = FIXED.find((c) => c.key === key);
    const name = key.replace(/^parameter /, "");
    const valueOf = column ? column.value : (row) => row.params.get(name);
    const known = (v) => v !== null && v !== undefined && !Number.isNaN(v);
    const keyed = rows.map((row) => ({ row, v: valueOf(row) }));
    keyed.sort((a, b) => {
      // What is missing is at the end in both directions.
      if (!known(a.v) || !known(b.v)) return Number(known(b.v)) - Number(known(a.v)) || b.row.seq - a.row.seq;
      return sign * compare(a.v, b.v) || b.row.seq - a.row.seq;
    });
    return keyed.map(({ row }) => row);
  }

  #showFilters(counts) {
    const present = [...TRIAL_STATUSES.keys()].filter((s) => counts.has(s) || this.#statuses.has(s));
    for (const other of counts.keys()) if (!TRIAL_STATUSES.has(other)) present.push(other);
    const known = [...this.filters.children].map((element) => element.dataset.status);
    if (known.join() !== present.join()) {
      this.filters.replaceChildren(
        ...present.map((status) => button("", () => this.#toggleStatus(status), { class: "filter", "data-status": status })),
      );
    }
    for (const element of this.filters.children) {
      const { status } = element.dataset;
      setText(element, `${trialStatus(status)} ${count(counts.get(status))}`);
      element.setAttribute("aria-pressed", String(this.#statuses.has(status)));
    }
  }

  #toggleStatus(status) {
    if (!this.#statuses.delete(status)) this.#statuses.add(status);
    this.#show();
  }

  #chosenRows() {
    const { chosen } = this.table;
    for (const id of chosen) if (!this.#store.trials.has(id)) chosen.delete(id);
    return [...chosen].map((id) => this.#store.trials.get(id));
  }

  #showChosen() {
    const rows = this.#chosenRows();
    const live = rows.filter((row) => !row.isEnded).length;
    const ended = rows.length - live;
    this.actions.hidden = rows.length === 0 || this.#store.isReadOnly;
    setText(this.cancel, `Cancel ${live}`);
    setText(this.retry, `Retry ${ended}`);
    this.cancel.disabled = live === 0;
    this.retry.disabled = ended === 0;
  }

  async #actOnChosen(action) {
    const rows = this.#chosenRows().filter((row) => row.isEnded === (action === "retry"));
    const all = () => actOn(rows, action);
    if (action === "cancel") {
      const what = rows.length === 1 ? `Trial #${rows[0].seq} is ended.` : `${rows.length} trials are ended.`;
      await confirm("Cancel trials?", what, "Cancel trials", all);
    } else {
      await all();
    }
    this.table.chosen.clear();
    this.#show();
  }
}
