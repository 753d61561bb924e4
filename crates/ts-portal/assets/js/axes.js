// Axes of the parallel coordinates: which kind each is, what a brush lets through, which trials are the best. Pure.

import { category, extent, linear, logarithmic } from "./chart/scale.js";
import { axisKind, compare } from "./parameters.js";

/** Most different values that a categorical axis shows one by one. */
const MAX_CATEGORIES = 40;

/**
 * An axis of a parameter, or of the result.
 *
 * @param {string} name
 * @param {(row) => any} valueOf
 * @param {object|null} entry its entry in the search space
 */
export function axis(name, valueOf, entry, rows, kind = null) {
  const values = rows.map(valueOf);
  const natural = axisKind(entry, values);
  const chosen = kind !== null && fits(kind, natural, values) ? kind : natural;
  const known = values.filter((v) => v !== null && v !== undefined);
  return {
    name,
    valueOf,
    kind: chosen,
    isText: known.some((v) => typeof v !== "number"),
    isWhole: known.every(Number.isInteger),
    ...domain(chosen, values),
  };
}

/** Whether values can be drawn so: a logarithm needs numbers above zero, a line needs numbers. */
function fits(kind, natural, values) {
  const numbers = values.filter((v) => v !== null && v !== undefined);
  if (kind === "category") return true;
  if (numbers.some((v) => typeof v !== "number")) return false;
  return kind === "linear" || numbers.every((v) => v > 0);
}

function domain(kind, values) {
  if (kind !== "category") return { limits: extent(values) ?? [0, 1] };
  const different = [...new Set(values.filter((v) => v !== null && v !== undefined))].sort(compare);
  return { values: different.slice(0, MAX_CATEGORIES), isCut: different.length > MAX_CATEGORIES };
}

/** The scale of an axis over these pixels. */
export function scaleOf(axis, range) {
  if (axis.kind === "category") return category(axis.values, range);
  const scale = axis.kind === "log" ? logarithmic(axis.limits, range) : linear(axis.limits, range);
  // Between whole numbers there is nothing.
  return axis.isWhole ? { ...scale, ticks: (n) => scale.ticks(n).filter(({ value }) => Number.isInteger(value)) } : scale;
}

/**
 * Whether all brushes let this row through.
 *
 * A brush is `{low, high}` with numbers, or `{values}` with a set, by the name of its axis.
 */
export function passes(row, axes, brushes) {
  for (const { name, valueOf } of axes) {
    const brush = brushes.get(name);
    if (brush === undefined) continue;
    const value = valueOf(row);
    if (brush.values ? !brush.values.has(value) : !(value >= brush.low && value <= brush.high)) return false;
  }
  return true;
}

/** The best `percent` of the rows with a final result, at least one; all rows at 100. */
export function topRows(rows, percent, minimizes) {
  if (percent >= 100) return rows;
  const ranked = rows.filter((row) => row.final !== null).sort((a, b) => (minimizes ? a.final - b.final : b.final - a.final));
  return ranked.slice(0, Math.max(1, Math.round((ranked.length * percent) / 100)));
}
