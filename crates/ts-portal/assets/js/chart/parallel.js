// Parallel coordinates: one line for each trial over all axes, brushes on the axes, colors by result.

import { scaleOf } from "../axes.js";
import { value } from "../format.js";
import { Plot, RAMP_PARTS } from "./plot.js";
import { ranks } from "./scale.js";

/** How far from an axis a press still means it, in pixels. */
const NEAR = 16;
/** Distance of two axes below which the chart scrolls, in pixels. */
const MIN_GAP = 84;

export class Parallel extends Plot {
  margin = { top: 40, right: 60, bottom: 16, left: 60 };
  #axes = [];
  #rows = [];
  #others = [];
  #drag = null;
  minimizes = false;

  constructor(options) {
    super(options);
    this.onBrush = options.onBrush;
    this.root.classList.add("parallel");
    this.canvas.addEventListener("pointerdown", (event) => this.#press(event));
    this.canvas.addEventListener("pointermove", (event) => this.#pull(event));
    this.canvas.addEventListener("pointerup", () => this.#release());
    this.canvas.addEventListener("pointercancel", () => this.#release());
  }

  /** Shows rows over axes; `others` are those that a brush keeps out, drawn faintly. */
  show(axes, rows, others, brushes) {
    this.#axes = axes;
    this.#rows = rows;
    this.#others = others;
    this.brushes = brushes;
    this.ranks = ranks(rows.map((row) => row.final), this.minimizes);
    this.root.style.minWidth = `${axes.length * MIN_GAP + 40}px`;
    this.hover(-1);
    this.redraw();
  }

  get size() {
    return this.#rows.length;
  }

  item(index) {
    return this.#rows[index];
  }

  words(index) {
    const row = this.#rows[index];
    return [`Trial #${row.seq}`, ...this.#axes.map(({ name, valueOf }) => `${name}: ${value(valueOf(row))}`)];
  }

  place(index) {
    const row = this.#rows[index];
    const at = this.#at ?? { x: this.box.left };
    return { x: at.x, y: at.y ?? this.#y(0, row) };
  }

  #at = null;

  hit(px, py) {
    if (!this.scales) return -1;
    const gap = this.scales.findIndex(({ x }) => x >= px);
    if (gap <= 0) return -1;
    const [a, b] = [this.scales[gap - 1].x, this.scales[gap].x];
    const part = (px - a) / (b - a);
    let found = -1;
    let nearest = 8;
    this.#rows.forEach((row, i) => {
      const y = this.#y(gap - 1, row) * (1 - part) + this.#y(gap, row) * part;
      const distance = Math.abs(y - py);
      if (distance < nearest) [found, nearest] = [i, distance];
    });
    this.#at = found < 0 ? null : { x: px, y: py };
    return found;
  }

  /** Height of a row on an axis; what has no value there stands below it. */
  #y(index, row) {
    const { scale } = this.scales[index];
    const y = scale.map(this.#axes[index].valueOf(row));
    return Number.isFinite(y) ? y : this.box.bottom + 8;
  }

  draw(context, { left, right, top, bottom }) {
    const n = this.#axes.length;
    if (n === 0) return;
    this.scales = this.#axes.map((axis, i) => ({ x: n === 1 ? (left + right) / 2 : left + ((right - left) * i) / (n - 1), scale: scaleOf(axis, [bottom, top]) }));
    context.lineJoin = "round";
    context.lineWidth = 1;
    context.strokeStyle = this.color("grid");
    this.#stroke(context, this.#others.slice(0, 3000));
    const parts = Array.from({ length: RAMP_PARTS + 1 }, () => []);
    this.#rows.forEach((row, i) => parts[this.ranks[i] === null ? 0 : 1 + Math.floor(this.ranks[i] * (RAMP_PARTS - 1))].push(row));
    context.lineWidth = this.#rows.length > 500 ? 0.8 : 1.3;
    context.globalAlpha = this.#rows.length > 2000 ? 0.5 : 0.85;
    parts.forEach((rows, part) => {
      context.strokeStyle = part === 0 ? this.color("faint") : this.ramp((part - 1) / (RAMP_PARTS - 1));
      this.#stroke(context, rows);
    });
    context.globalAlpha = 1;
    if (this.hovered >= 0) {
      context.strokeStyle = this.color("highlight");
      context.lineWidth = 3;
      this.#stroke(context, [this.#rows[this.hovered]]);
    }
    this.#axes.forEach((axis, i) => this.#drawAxis(context, axis, this.scales[i], i));
  }

  #stroke(context, rows) {
    if (rows.length === 0) return;
    context.beginPath();
    for (const row of rows) {
      for (let i = 0; i < this.scales.length; i += 1) {
        const y = this.#y(i, row);
        if (i === 0) context.moveTo(this.scales[i].x, y);
        else context.lineTo(this.scales[i].x, y);
      }
    }
    context.stroke();
  }

  #drawAxis(context, axis, { x, scale }, index) {
    const { top, bottom } = this.box;
    context.strokeStyle = this.color("muted");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, bottom);
    context.stroke();
    const brush = this.brushes.get(axis.name);
    if (brush) this.#drawBrush(context, x, scale, brush);
    const gap = this.#axes.length > 1 ? (this.box.right - this.box.left) / (this.#axes.length - 1) : 200;
    context.textBaseline = "middle";
    context.textAlign = "left";
    for (const { value: v, text } of scale.ticks(Math.max(2, Math.round((bottom - top) / 40)))) {
      this.#label(context, text, x + 6, scale.map(v), gap - 14);
    }
    context.textAlign = "center";
    context.textBaseline = "bottom";
    // Names stand in two lines, so that long neighbors do not meet.
    this.#label(context, axis.name, x, index % 2 === 0 ? top - 6 : top - 21, gap * 1.8, this.color("text"));
  }

  #label(context, text, x, y, room, color = this.color("muted")) {
    let short = text;
    while (short.length > 2 && context.measureText(short).width > room) short = `${short.slice(0, -2)}…`;
    context.lineWidth = 3;
    context.strokeStyle = this.color("page");
    context.strokeText(short, x, y);
    context.fillStyle = color;
    context.fillText(short, x, y);
  }

  #drawBrush(context, x, scale, brush) {
    const ends = brush.values ? [...brush.values].map((v) => scale.map(v)).filter(Number.isFinite) : [scale.map(brush.low), scale.map(brush.high)];
    if (ends.length === 0) return;
    const pad = brush.values ? 6 : 0;
    const [from, to] = [Math.min(...ends) - pad, Math.max(...ends) + pad];
    context.fillStyle = this.color("accent");
    context.globalAlpha = 0.3;
    context.fillRect(x - 6, from, 12, Math.max(2, to - from));
    context.globalAlpha = 1;
    context.strokeStyle = this.color("accent");
    context.strokeRect(x - 6, from, 12, Math.max(2, to - from));
  }

  #press(event) {
    const { x, y } = this.#where(event);
    const index = this.scales?.findIndex((s) => Math.abs(s.x - x) <= NEAR) ?? -1;
    if (index < 0) return;
    this.#drag = { index, from: y, to: y };
    this.hover(-1);
    this.canvas.setPointerCapture(event.pointerId);
    event.preventDefault();
    this.canvas.focus();
  }

  #pull(event) {
    if (this.#drag === null) {
      const { x } = this.#where(event);
      this.canvas.style.cursor = this.scales?.some((s) => Math.abs(s.x - x) <= NEAR) ? "ns-resize" : this.hovered >= 0 ? "pointer" : "default";
      return;
    }
    this.#drag.to = this.#where(event).y;
    this.#brush(false);
  }

  #release() {
    if (this.#drag === null) return;
    this.#brush(true);
    this.#drag = null;
  }

  #brush(isDone) {
    const { index, from, to } = this.#drag;
    const { name } = this.#axes[index];
    const { scale } = this.scales[index];
    const [high, low] = [Math.min(from, to), Math.max(from, to)];
    if (low - high < 4) {
      // A press without a pull takes the brush away.
      if (isDone) this.onBrush(name, null);
      return;
    }
    const brush =
      scale.kind === "category"
        ? { values: new Set(scale.values.filter((v) => scale.map(v) >= high - 4 && scale.map(v) <= low + 4)) }
        : { low: scale.invert(low), high: scale.invert(high) };
    this.onBrush(name, brush);
  }

  #where(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  open() {
    if (this.#drag === null) super.open();
  }
}
