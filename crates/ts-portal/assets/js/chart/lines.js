// Many curves in one chart: the nearest one is pointed at.

import { number } from "../format.js";
import { Plot, RAMP_PARTS } from "./plot.js";
import { extent, innerExtent, linear, logarithmic, ranks } from "./scale.js";

export class Lines extends Plot {
  #series = [];
  #step = 0;
  isLog = false;
  ignoresOutliers = false;
  minimizes = false;

  /** Series are `{id, seq, result, values}`; values that are no number leave a gap. */
  show(series) {
    const before = this.#series[this.hovered]?.id;
    this.#series = series;
    this.ranks = ranks(series.map((s) => s.result), this.minimizes);
    this.hover(before === undefined ? -1 : series.findIndex((s) => s.id === before));
    this.redraw();
  }

  get size() {
    return this.#series.length;
  }

  item(index) {
    return this.#series[index];
  }

  words(index) {
    const { seq, values, result } = this.#series[index];
    const step = Math.min(this.#step, values.length - 1);
    return [`Trial #${seq}`, `Step ${step}: ${number(values[step])}`, result === null ? "No result yet" : `Result ${number(result)}`];
  }

  place(index) {
    const { values } = this.#series[index];
    if (!this.y || values.length === 0) return null;
    const step = Math.min(this.#step, values.length - 1);
    const y = this.y.map(values[step]);
    return { x: this.x.map(step), y: Number.isFinite(y) ? y : this.box.top };
  }

  hit(px, py) {
    if (!this.y) return -1;
    const at = this.x.invert(px);
    let found = -1;
    let nearest = 25;
    this.#series.forEach(({ values }, i) => {
      const a = Math.max(0, Math.min(values.length - 1, Math.floor(at)));
      const b = Math.min(values.length - 1, a + 1);
      if (at > values.length - 0.5) return;
      const part = Math.max(0, Math.min(1, at - a));
      const y = this.y.map(values[a]) * (1 - part) + this.y.map(values[b]) * part;
      const distance = Math.abs(y - py);
      if (distance < nearest) [found, nearest] = [i, distance];
    });
    if (found >= 0) {
      const step = Math.max(0, Math.round(at));
      if (step !== this.#step) this.redraw();
      this.#step = step;
    }
    return found;
  }

  hover(index) {
    // By keys the end of a curve is meant.
    if (index >= 0 && document.activeElement === this.canvas) this.#step = Infinity;
    super.hover(index);
  }

  draw(context, { left, right, top, bottom }) {
    this.y = null;
    const all = function* (series) {
      for (const { values } of series) yield* values;
    };
    const limits = (this.ignoresOutliers ? innerExtent : extent)(all(this.#series));
    if (limits === null) return;
    const longest = this.#series.reduce((n, { values }) => Math.max(n, values.length), 0);
    this.x = linear([0, Math.max(1, longest - 1)], [left, right]);
    const positive = limits[0] > 0;
    const pad = (limits[1] - limits[0]) * 0.04;
    this.y = this.isLog && positive ? logarithmic(limits, [bottom, top]) : linear([limits[0] - pad, limits[1] + pad], [bottom, top]);
    this.axes(context, this.x, this.y, "Step");
    context.save();
    context.beginPath();
    context.rect(left, top, right - left, bottom - top);
    context.clip();
    context.lineWidth = this.#series.length > 300 ? 0.75 : 1.25;
    const parts = Array.from({ length: RAMP_PARTS + 1 }, () => []);
    this.#series.forEach((series, i) => {
      const rank = this.ranks[i];
      parts[rank === null ? 0 : 1 + Math.floor(rank * (RAMP_PARTS - 1))].push(series);
    });
    parts.forEach((some, part) => {
      if (some.length === 0) return;
      context.strokeStyle = part === 0 ? this.color("status-RUNNING") : this.ramp((part - 1) / (RAMP_PARTS - 1));
      context.beginPath();
      for (const { values } of some) this.#trace(context, values);
      context.stroke();
    });
    if (this.hovered >= 0) this.#emphasize(context, this.#series[this.hovered].values);
    context.restore();
  }

  #trace(context, values) {
    let isGap = true;
    values.forEach((v, i) => {
      const y = typeof v === "number" ? this.y.map(v) : Number.NaN;
      if (!Number.isFinite(y)) isGap = true;
      else if (isGap) {
        context.moveTo(this.x.map(i), y);
        // A single value is a point.
        if (values.length === 1) context.lineTo(this.x.map(i) + 3, y);
        isGap = false;
      } else context.lineTo(this.x.map(i), y);
    });
  }

  #emphasize(context, values) {
    context.strokeStyle = this.color("highlight");
    context.lineWidth = 2.5;
    context.beginPath();
    this.#trace(context, values);
    context.stroke();
    const place = this.place(this.hovered);
    context.fillStyle = this.color("highlight");
    context.beginPath();
    context.arc(place.x, place.y, 3.5, 0, 7);
    context.fill();
  }
}
