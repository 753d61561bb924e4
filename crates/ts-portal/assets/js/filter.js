// What the search field means. Pure.
//
// Words are looked for in number, id, status, reason and parameters, all of them must be there; `lr<0.01`, `result>=0.9`
// and `opt=adam` compare a parameter, `result`, `duration` (seconds), `#` or `metrics`.

import { trialStatus, value as valueText } from "./format.js";

const COMPARISON = /^([^<>=!]+)(<=|>=|!=|=|<|>)(.*)$/;

/** A function that tells whether a row fits; `null` where everything does. */
export function parseQuery(text) {
  const tests = text
    .trim()
    .split(/\s+/)
    .filter((word) => word !== "")
    .map(test);
  return tests.length === 0 ? null : (row) => tests.every((fits) => fits(row));
}

function test(word) {
  const [, name, operator, wanted] = COMPARISON.exec(word) ?? [];
  if (name === undefined) return contains(word);
  // While it is still typed it keeps everything.
  if (wanted === "") return () => true;
  // Where a trial has no such parameter it is a word as any other.
  return (row) => {
    const has = field(row, name);
    return has === undefined ? contains(word)(row) : compares(has, operator, wanted);
  };
}

function contains(word) {
  const wanted = word.toLowerCase();
  return (row) => searchText(row).includes(wanted);
}

function field(row, name) {
  switch (name.toLowerCase()) {
    case "#":
      return row.seq;
    case "result":
      return row.result ?? null;
    case "duration":
      return row.duration() === null ? null : row.duration() / 1000;
    case "metrics":
      return row.nMetrics;
    default:
      return row.params.get(name);
  }
}

function compares(has, operator, wanted) {
  if (operator === "=" || operator === "!=") {
    const same = typeof has === "number" ? has === Number(wanted) : String(has).toLowerCase() === wanted.toLowerCase();
    return same === (operator === "=");
  }
  const limit = Number(wanted);
  if (typeof has !== "number" || Number.isNaN(limit)) return false;
  return { "<": has < limit, ">": has > limit, "<=": has <= limit, ">=": has >= limit }[operator];
}

/** Made once for each state of a row: ten thousand rows are searched at every letter. */
function searchText(row) {
  if (row.searchText === null) {
    const parts = [`#${row.seq}`, row.id, row.status, trialStatus(row.status)];
    if (row.reason) parts.push(row.reason.code, row.reason.message, row.reason.verdict ?? "");
    for (const [name, value] of row.params) parts.push(`${name}=${valueText(value)}`);
    row.searchText = parts.join(" ").toLowerCase();
  }
  return row.searchText;
}
