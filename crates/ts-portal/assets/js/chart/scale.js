// Scales: from values to pixels and back, with ticks. Pure.

import { duration, number } from "../format.js";

/** Round steps from `low` to `high`, about `n` of them. */
export function niceTicks(low, high, n = 5) {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, n);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999) ?? rough;
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

const TIME_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500].concat(
  [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400].map((s) => s * 1000),
);

/** The same for milliseconds: steps that are round as times. */
export function timeTicks(low, high, n = 5) {
  const rough = (high - low) / Math.max(1, n);
  const step = TIME_STEPS.find((s) => s >= rough) ?? Math.ceil(rough / 86_400_000) * 86_400_000;
  const ticks = [];
  for (let t = Math.ceil(low / step) * step; t <= high; t += step) ticks.push(t);
  return ticks;
}

/** Smallest and largest of the finite numbers; `null` without any. */
export function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const v of values) {
    if (typeof v !== "number" || !Number.isFinite(v)) continue;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return low <= high ? [low, high] : null;
}

/** The same without the outermost of a hundred parts at both ends, where there are enough values. */
export function innerExtent(values, part = 0.02) {
  const sorted = [...values].filter((v) => typeof v === "number" && Number.isFinite(v)).sort((a, b) => a - b);
  if (sorted.length < 20) return extent(sorted);
  return [sorted[Math.floor(sorted.length * part)], sorted[Math.ceil(sorted.length * (1 - part)) - 1]];
}

/** Equal distances for equal differences. */
export function linear([low, high], [from, to]) {
  if (low === high) {
    const pad = Math.abs(low) * 0.05 || 0.5;
    [low, high] = [low - pad, high + pad];
  }
  return {
    kind: "linear",
    map: (v) => from + ((v - low) / (high - low)) * (to - from),
    invert: (p) => low + ((p - from) / (to - from)) * (high - low),
    limits: [low, high],
    ticks: (n) => niceTicks(low, high, n).map((v) => ({ value: v, text: number(v) })),
  };
}

/** A linear scale of milliseconds. */
export function times(limits, range) {
  const scale = linear(limits, range);
  const [low, high] = scale.limits;
  return { ...scale, ticks: (n) => timeTicks(low, high, n).map((ms) => ({ value: ms, text: ms === 0 ? "0" : duration(ms) })) };
}

/** Equal distances for equal ratios; both ends must be above zero. */
export function logarithmic([low, high], range) {
  const inner = linear([Math.log10(low), Math.log10(high)], range);
  return {
    kind: "log",
    map: (v) => (v > 0 ? inner.map(Math.log10(v)) : Number.NaN),
    invert: (p) => 10 ** inner.invert(p),
    ticks: (n) => logTicks(low, high, n).map((v) => ({ value: v, text: number(v) })),
  };
}

function logTicks(low, high, n) {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const step = Math.max(1, Math.ceil((last - first) / Math.max(1, n)));
  const ticks = [];
  for (let e = first; e <= last; e += step) ticks.push(Number((10 ** e).toPrecision(12)));
  const inside = ticks.filter((v) => v >= low * 0.999 && v <= high * 1.001);
  return inside.length >= 2 ? inside : niceTicks(low, high, n).filter((v) => v > 0);
}

/** One place for each value. */
export function category(values, [from, to]) {
  const places = new Map(values.map((v, i) => [v, values.length === 1 ? (from + to) / 2 : from + ((to - from) * i) / (values.length - 1)]));
  return {
    kind: "category",
    values,
    map: (v) => places.get(v) ?? Number.NaN,
    invert: (p) => values[Math.min(values.length - 1, Math.max(0, Math.round(((p - from) / (to - from)) * (values.length - 1))))],
    ticks: (n) => {
      const every = Math.max(1, Math.ceil(values.length / Math.max(1, n)));
      return values.filter((_, i) => i % every === 0).map((v) => ({ value: v, text: String(v) }));
    },
  };
}

/** Place of each result among all, from 0 for the worst to 1 for the best; what has none has `null`. */
export function ranks(results, minimizes) {
  const order = results
    .map((result, i) => ({ result, i }))
    .filter(({ result }) => typeof result === "number" && Number.isFinite(result))
    .sort((a, b) => (minimizes ? b.result - a.result : a.result - b.result));
  const ranked = new Array(results.length).fill(null);
  order.forEach(({ i }, place) => {
    ranked[i] = order.length === 1 ? 1 : place / (order.length - 1);
  });
  return ranked;
}
