// One mark for each item: points, points with a line, or bars, and a line of the best so far where that is asked for.

import { Plot } from "./plot.js";
import { extent, linear, times } from "./scale.js";

export class Marks extends Plot {
  #items = [];

  /** `lines` joins the points, `bars` stands them on zero. */
  constructor({ x, lines = false, bars = false, ...rest }) {
    super(rest);
    Object.assign(this, { xName: x, lines, bars });
  }

  /** `"max"` or `"min"` for a line of the best so far. */
  best = null;
  /** Whether an axis counts milliseconds. */
  xIsTime = false;
  yIsTime = false;

  /** Items are `{x, y, status?, id?, words}` in the order of `x`; what has no number as `y` is left out. */
  show(items) {
    this.#items = items.filter((item) => typeof item.y === "number" && Number.isFinite(item.y));
    this.hover(Math.min(this.hovered, this.#items.length - 1));
    this.redraw();
  }

  get size() {
    return this.#items.length;
  }

  item(index) {
    return this.#items[index];
  }

  words(index) {
    return this.#items[index].words;
  }

  place(index) {
    const { x, y } = this.#items[index];
    return this.x ? { x: this.x.map(x), y: this.y.map(y) } : null;
  }

  hit(px, py) {
    let found = -1;
    let nearest = this.bars ? 12 : 30;
    this.#items.forEach((item, i) => {
      const dx = Math.abs(this.x.map(item.x) - px);
      const distance = this.bars ? dx : Math.hypot(dx, this.y.map(item.y) - py);
      if (distance < nearest) [found, nearest] = [i, distance];
    });
    return found;
  }

  draw(context, { left, right, top, bottom }) {
    const items = this.#items;
    if (items.length === 0) return;
    const xs = extent(items.map((item) => item.x));
    const ys = extent(items.map((item) => item.y));
    const pad = this.bars ? 0 : (ys[1] - ys[0]) * 0.05;
    const inset = Math.min(20, (right - left) / items.length / 2 + 4);
    this.x = (this.xIsTime ? times : linear)(xs, [left + inset, right - inset]);
    const low = this.bars ? 0 : ys[0] - pad;
    this.y = (this.yIsTime ? times : linear)([low, Math.max(ys[1] + (pad || ys[1] * 0.05), low + Number.EPSILON)], [bottom, top]);
    this.axes(context, this.x, this.y, this.xName);
    if (this.bars) this.#drawBars(context, bottom);
    else this.#drawPoints(context);
    if (this.best) this.#drawBest(context);
    this.#drawHovered(context);
  }

  #drawBars(context, bottom) {
    const width = Math.max(1, Math.min(18, (this.x.map(1) - this.x.map(0)) * 0.8 || 18));
    for (const item of this.#items) {
      context.fillStyle = this.color(`status-${item.status}`) || this.color("accent");
      const top = this.y.map(item.y);
      context.fillRect(this.x.map(item.x) - width / 2, top, width, bottom - top);
    }
  }

  #drawPoints(context) {
    context.fillStyle = context.strokeStyle = this.color("accent");
    if (this.lines) {
      context.lineWidth = 1.5;
      context.beginPath();
      for (const item of this.#items) context.lineTo(this.x.map(item.x), this.y.map(item.y));
      context.stroke();
      if (this.#items.length > 60) return;
    }
    const radius = this.#items.length > 1000 ? 1.5 : 2.5;
    context.beginPath();
    for (const item of this.#items) {
      const [x, y] = [this.x.map(item.x), this.y.map(item.y)];
      context.moveTo(x + radius, y);
      context.arc(x, y, radius, 0, 7);
    }
    context.globalAlpha = this.best ? 0.45 : 1;
    context.fill();
    context.globalAlpha = 1;
  }

  #drawBest(context) {
    context.strokeStyle = this.color("status-SUCCEEDED");
    context.lineWidth = 2;
    context.beginPath();
    let best = null;
    for (const item of this.#items) {
      const x = this.x.map(item.x);
      if (best === null) context.moveTo(x, this.y.map(item.y));
      else context.lineTo(x, this.y.map(best));
      if (best === null || (this.best === "min" ? item.y < best : item.y > best)) best = item.y;
      context.lineTo(x, this.y.map(best));
    }
    context.lineTo(this.box.right, this.y.map(best));
    context.stroke();
  }

  #drawHovered(context) {
    if (this.hovered < 0) return;
    const { x, y } = this.place(this.hovered);
    context.strokeStyle = this.color("text");
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, 5, 0, 7);
    context.stroke();
  }
}
