// A table of any length: only the rows in sight are elements. Moves by keys, sorts by a press on a head.

import { button, h, setText } from "./dom.js";

/** Height of a row in pixels; the style sheet has the same. */
const ROW = 28;
/** Rows beyond the edges that are there already, so that scrolling shows no gap. */
const OVERSCAN = 8;

/**
 * A grid of rows.
 *
 * A column is `{key, title, width, text(row), status?(row), class?, hint?(row)}`; keys name the order.
 */
export class Table {
  #columns = [];
  #rows = [];
  #pool = [];
  #active = null;
  #scheduled = false;

  /** Ids of the chosen rows. */
  chosen = new Set();
  /** Column and direction of the order. */
  order = { key: "seq", descending: true };

  constructor({ label, onOpen, onOrder, onChoose, empty }) {
    this.onOpen = onOpen;
    this.onOrder = onOrder;
    this.onChoose = onChoose;
    this.widths = h("colgroup");
    this.head = h("tr", { "aria-rowindex": 1 });
    this.before = h("tr", { class: "space", "aria-hidden": "true" }, h("td"));
    this.after = h("tr", { class: "space", "aria-hidden": "true" }, h("td"));
    this.body = h("tbody", {}, this.before, this.after);
    this.grid = h(
      "table",
      { role: "grid", tabindex: 0, class: "trials", "aria-label": label, "aria-multiselectable": "true" },
      this.widths,
      h("thead", {}, this.head),
      this.body,
    );
    this.empty = h("p", { class: "empty" }, empty);
    this.root = h("div", { class: "scroll" }, this.grid, this.empty);
    this.root.addEventListener("scroll", () => this.#schedule(), { passive: true });
    this.grid.addEventListener("keydown", (event) => this.#key(event));
    this.body.addEventListener("click", (event) => this.#click(event));
    new ResizeObserver(() => this.#schedule()).observe(this.root);
  }

  setColumns(columns) {
    this.#columns = columns;
    this.widths.replaceChildren(...[34, ...columns.map((c) => c.width)].map((width) => h("col", { width })));
    this.grid.style.width = `max(100%, ${34 + columns.reduce((sum, c) => sum + c.width, 0)}px)`;
    this.head.replaceChildren(h("th", { scope: "col", class: "mark" }, h("span", { class: "offscreen" }, "Chosen")));
    for (const column of columns) {
      const turn = () => {
        const same = this.order.key === column.key;
        this.order = { key: column.key, descending: same ? !this.order.descending : false };
        this.#showOrder();
        this.onOrder();
      };
      const name = button(column.title, turn, { title: column.title });
      this.head.append(h("th", { scope: "col", class: column.class, "data-key": column.key }, name));
    }
    this.grid.setAttribute("aria-colcount", columns.length + 1);
    for (const row of this.#pool) row.element.remove();
    this.#pool = [];
    this.#showOrder();
    this.#render();
  }

  #showOrder() {
    for (const head of this.head.children) {
      const sorted = head.dataset.key === this.order.key;
      const direction = this.order.descending ? "descending" : "ascending";
      if (sorted) head.setAttribute("aria-sort", direction);
      else head.removeAttribute("aria-sort");
    }
  }

  /** Shows these rows; the one that was active stays so where it still is among them. */
  setRows(rows, empty) {
    this.#rows = rows;
    setText(this.empty, empty);
    this.empty.hidden = rows.length > 0;
    this.grid.setAttribute("aria-rowcount", rows.length + 1);
    this.#render();
  }

  /** Id of the active row; `null` without one. */
  get active() {
    return this.#active;
  }

  /** Shows the active row as such without moving the focus. */
  setActive(id) {
    this.#active = id;
    this.#render();
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#render();
    });
  }

  #render() {
    const height = this.root.clientHeight || 600;
    const n = this.#rows.length;
    const first = Math.max(0, Math.floor(this.root.scrollTop / ROW) - OVERSCAN);
    const count = Math.max(0, Math.min(n - first, Math.ceil(height / ROW) + 2 * OVERSCAN));
    while (this.#pool.length < count) this.#pool.push(this.#newRow());
    this.#pool.forEach((line, i) => {
      const row = i < count ? this.#rows[first + i] : null;
      line.element.hidden = row === null;
      if (row !== null) this.#fill(line, row, first + i);
    });
    this.before.firstChild.style.height = `${Math.min(first, n) * ROW}px`;
    this.after.firstChild.style.height = `${Math.max(0, n - first - count) * ROW}px`;
    const shown = this.#pool.find((line) => !line.element.hidden && line.id === this.#active);
    if (shown) this.grid.setAttribute("aria-activedescendant", shown.element.id);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  #newRow() {
    const cells = this.#columns.map((column) => h("td", { role: "gridcell", class: column.class }));
    const mark = h("td", { role: "gridcell", class: "mark" });
    const element = h("tr", { id: `row-${this.#pool.length}` }, mark, cells);
    this.after.before(element);
    return { element, cells, mark, id: null };
  }

  #fill(line, row, index) {
    line.id = row.id;
    const chosen = this.chosen.has(row.id);
    set(line.element, "aria-rowindex", String(index + 2));
    set(line.element, "aria-selected", String(chosen));
    line.element.classList.toggle("active", row.id === this.#active);
    this.#columns.forEach((column, i) => {
      const cell = line.cells[i];
      const text = column.text(row);
      setText(cell, text);
      if (column.status) set(cell, "data-status", column.status(row));
      if (column.faint) cell.classList.toggle("faint", column.faint(row));
      const hint = column.hint ? column.hint(row) : text;
      if (cell.title !== hint) cell.title = hint;
    });
  }

  #click(event) {
    const line = this.#pool.find((candidate) => candidate.element === event.target.closest("tr"));
    if (!line) return;
    this.#active = line.id;
    if (event.target.closest(".mark") || event.ctrlKey || event.metaKey) this.#toggle(line.id);
    else this.onOpen(line.id);
    this.#render();
  }

  #toggle(id) {
    if (!this.chosen.delete(id)) this.chosen.add(id);
    this.onChoose();
  }

  #key(event) {
    if (event.target !== this.grid || event.altKey) return;
    const at = this.#rows.findIndex((row) => row.id === this.#active);
    const page = Math.max(1, Math.floor(this.root.clientHeight / ROW) - 2);
    const all = (event.ctrlKey || event.metaKey) && event.key === "a";
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: Infinity };
    if (event.key in moves && this.#rows.length > 0) {
      // Without an active row the first key goes to the one on top of what is in sight.
      const start = at < 0 && event.key.startsWith("Arrow") ? Math.ceil(this.root.scrollTop / ROW) : moves[event.key];
      this.#moveTo(Math.min(Math.max(start, 0), this.#rows.length - 1));
    } else if (event.key === "Enter" && at >= 0) {
      this.onOpen(this.#active, { byKey: true });
    } else if (event.key === " " && at >= 0) {
      this.#toggle(this.#active);
      this.#render();
    } else if (all) {
      this.chosen = new Set(this.#rows.map((row) => row.id));
      this.onChoose();
      this.#render();
    } else {
      return;
    }
    event.preventDefault();
  }

  #moveTo(index) {
    this.#active = this.#rows[index].id;
    const top = index * ROW;
    const room = this.root.clientHeight - this.head.offsetHeight - ROW;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (top > this.root.scrollTop + room) this.root.scrollTop = top - room;
    this.#render();
    this.onMove?.(this.#active);
  }
}

function set(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}
