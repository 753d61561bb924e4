// What all charts share: a sharp canvas that follows its box and the colors of the page, axes, a tooltip by pointer and by
// arrow keys, and opening what is under it.

import { h, setText } from "../dom.js";

/** Colors from worst to best for light and dark pages; the best stands out most. */
const RAMPS = {
  light: [[190, 200, 211], [120, 170, 214], [38, 116, 182], [8, 51, 107]],
  dark: [[66, 78, 90], [58, 108, 158], [111, 176, 232], [226, 242, 255]],
};
/** Parts of the ramp: lines of one part are drawn at once. */
export const RAMP_PARTS = 24;

const dark = matchMedia("(prefers-color-scheme: dark)");

/** Base of the charts. A chart has `draw`, `size`, `place`, `words` and `hit`. */
export class Plot {
  #scheduled = false;
  /** Index of the item that is pointed at, or -1. */
  hovered = -1;
  margin = { top: 10, right: 14, bottom: 34, left: 56 };

  constructor({ label, height = 300, onOpen = null }) {
    this.label = label;
    this.onOpen = onOpen;
    this.canvas = h("canvas", { tabindex: 0, role: "img", "aria-label": label });
    this.tip = h("div", { class: "tip", role: "status", hidden: true });
    this.note = h("p", { class: "empty", hidden: true });
    this.root = h("div", { class: "plot" }, this.canvas, this.tip, this.note);
    this.root.style.height = `${height}px`;
    new ResizeObserver(() => this.redraw()).observe(this.root);
    dark.addEventListener("change", () => this.redraw());
    this.canvas.addEventListener("pointermove", (event) => this.#point(event));
    this.canvas.addEventListener("pointerleave", () => this.hover(-1));
    this.canvas.addEventListener("click", () => this.open());
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => this.hover(-1));
  }

  /** Draws before the next frame. */
  redraw() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#draw();
    });
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.root;
    if (width === 0 || height === 0) return;
    const ratio = devicePixelRatio || 1;
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== wide || this.canvas.height !== high) [this.canvas.width, this.canvas.height] = [wide, high];
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.root);
    this.color = (name) => style.getPropertyValue(`--${name}`).trim();
    context.font = `11px ${style.fontFamily}`;
    const { top, right, bottom, left } = this.margin;
    this.box = { left, top, right: width - right, bottom: height - bottom };
    this.draw(context, this.box);
    if (this.hovered >= 0) this.#showTip();
  }

  /** Words in the place of the chart; none shows the chart. */
  say(words) {
    setText(this.note, words);
    this.note.hidden = words === "";
    this.canvas.hidden = words !== "";
  }

  /** Points at an item; -1 at none. */
  hover(index) {
    if (index === this.hovered) return;
    this.hovered = index;
    if (index < 0) this.tip.hidden = true;
    this.redraw();
  }

  /** Opens what is pointed at. */
  open() {
    if (this.hovered >= 0) this.onOpen?.(this.hovered);
  }

  #showTip() {
    const place = this.hovered < this.size ? this.place(this.hovered) : null;
    this.tip.hidden = place === null;
    if (place === null) return;
    this.tip.replaceChildren(...this.words(this.hovered).map((line) => h("div", {}, line)));
    const { offsetWidth: width, offsetHeight: height } = this.tip;
    const x = place.x + 12 + width > this.root.clientWidth ? place.x - 12 - width : place.x + 12;
    this.tip.style.left = `${Math.max(0, x)}px`;
    this.tip.style.top = `${Math.max(0, Math.min(place.y - height / 2, this.root.clientHeight - height))}px`;
  }

  #point(event) {
    if (event.buttons !== 0) return;
    const box = this.canvas.getBoundingClientRect();
    this.hover(this.hit(event.clientX - box.left, event.clientY - box.top));
  }

  #key(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10 };
    if (event.key in steps && this.size > 0) {
      const from = this.hovered < 0 && steps[event.key] > 0 ? -1 : this.hovered;
      this.hover(Math.min(this.size - 1, Math.max(0, from + steps[event.key])));
    } else if (event.key === "Home" && this.size > 0) this.hover(0);
    else if (event.key === "End" && this.size > 0) this.hover(this.size - 1);
    else if (event.key === "Enter" && this.hovered >= 0) this.open();
    else if (event.key === "Escape" && this.hovered >= 0) this.hover(-1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Both axes, with the name of the lower one. */
  axes(context, x, y, xName) {
    const { left, right, top, bottom } = this.box;
    context.lineWidth = 1;
    context.strokeStyle = this.color("grid");
    context.fillStyle = this.color("muted");
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const { value, text } of y.ticks(Math.max(2, Math.round((bottom - top) / 45)))) {
      const at = Math.round(y.map(value)) + 0.5;
      context.beginPath();
      context.moveTo(left, at);
      context.lineTo(right, at);
      context.stroke();
      context.fillText(text, left - 6, at);
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const { value, text } of x.ticks(Math.max(2, Math.round((right - left) / 90)))) {
      context.fillText(text, x.map(value), bottom + 5);
    }
    context.fillText(xName, (left + right) / 2, bottom + 19);
    context.strokeStyle = this.color("line");
    context.strokeRect(left + 0.5, top + 0.5, right - left, bottom - top);
  }

  /** Color of a part of the ramp, from 0 for the worst to 1 for the best. */
  ramp(part) {
    const stops = dark.matches ? RAMPS.dark : RAMPS.light;
    const at = Math.min(1, Math.max(0, part)) * (stops.length - 1);
    const i = Math.min(stops.length - 2, Math.floor(at));
    const mixed = stops[i].map((c, k) => Math.round(c + (stops[i + 1][k] - c) * (at - i)));
    return `rgb(${mixed.join(" ")})`;
  }
}
