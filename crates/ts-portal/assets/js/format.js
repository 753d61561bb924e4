// How times, numbers, values and statuses read. Pure: no document, no state.

/** Statuses of a trial in the order of their life, with the words that people read. */
export const TRIAL_STATUSES = new Map([
  ["WAITING", "Waiting"],
  ["RUNNING", "Running"],
  ["UNKNOWN", "Unknown"],
  ["SUCCEEDED", "Succeeded"],
  ["FAILED", "Failed"],
  ["EARLY_STOPPED", "Stopped early"],
  ["USER_CANCELED", "Canceled"],
  ["SYS_CANCELED", "Canceled by system"],
]);

const EXPERIMENT_STATUSES = new Map([
  ["INITIALIZED", "Starting"],
  ["RUNNING", "Running"],
  ["NO_MORE_TRIAL", "Last trials running"],
  ["TUNER_NO_MORE_TRIAL", "Last trials running"],
  ["STOPPING", "Stopping"],
  ["STOPPED", "Stopped"],
  ["DONE", "Done"],
  ["ERROR", "Failed"],
]);

/** Who or what ended a trial, in words. */
const VERDICTS = new Map([
  ["userCode", "the trial's own code"],
  ["memory", "memory ran out"],
  ["platform", "the platform"],
  ["configuration", "the configuration"],
  ["canceled", "somebody asked for it"],
]);

export const trialStatus = (status) => TRIAL_STATUSES.get(status) ?? String(status ?? "–");
export const experimentStatus = (status) => EXPERIMENT_STATUSES.get(status) ?? String(status ?? "–");
export const verdict = (name) => VERDICTS.get(name) ?? name ?? null;

/** Whether a trial in this status has ended. */
export const isTrialEnded = (status) => !["WAITING", "RUNNING", "UNKNOWN"].includes(status);

/** Whether an experiment in this status runs no trial any more. */
export const isExperimentEnded = (status) => ["STOPPED", "DONE", "ERROR"].includes(status);

/** Milliseconds in two units at most: `350 ms`, `12.3 s`, `3 min 4 s`, `1 d 2 h`. */
export function duration(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 0) ms = 0;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([n]) => n > 0);
  return parts
    .slice(first, first + 2)
    .filter(([n]) => n > 0)
    .map(([n, unit]) => `${n} ${unit}`)
    .join(" ");
}

const UNITS = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** `1h 30m`, `90 min`, `2d` as milliseconds; `null` for what is no duration. */
export function parseDuration(text) {
  const wanted = text.trim().toLowerCase();
  if (!/^(\d+(\.\d+)?\s*(ms|min|s|m|h|d)\s*)+$/.test(wanted)) return null;
  let total = 0;
  for (const [, n, unit] of wanted.matchAll(/(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d)/g)) total += Number(n) * UNITS[unit];
  return Math.round(total);
}

/** A number with six digits at most, short for people. */
export function number(x) {
  if (typeof x !== "number") return "–";
  if (!Number.isFinite(x)) return String(x);
  if (Number.isInteger(x) && Math.abs(x) < 1e9) return String(x);
  const size = Math.abs(x);
  if (size >= 1e-4 && size < 1e6) return String(Number(x.toPrecision(6)));
  return x.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
}

/** Any value of JSON as one line of text. */
export function value(v) {
  if (v === null || v === undefined) return "–";
  if (typeof v === "number") return number(v);
  return typeof v === "string" ? v : JSON.stringify(v);
}

/** A count with separators: 10 000. */
export const count = (n) => String(n ?? 0).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** Milliseconds since 1970 from RFC 3339; `null` for anything else. */
export function instant(text) {
  const ms = typeof text === "string" ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (n) => String(n).padStart(2, "0");

/**
 * A time of today by the clock, any other with its day, in the reader's time zone.
 *
 * By hand: `Intl.DateTimeFormat` takes 40 ms before its first word.
 */
export function time(ms, now = Date.now()) {
  if (ms === null || ms === undefined) return "–";
  const at = new Date(ms);
  const today = new Date(now);
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}`;
  const sameYear = at.getFullYear() === today.getFullYear();
  if (sameYear && at.getMonth() === today.getMonth() && at.getDate() === today.getDate()) return `${clock}:${two(at.getSeconds())}`;
  return `${at.getDate()} ${MONTHS[at.getMonth()]}${sameYear ? "" : ` ${at.getFullYear()}`}, ${clock}`;
}
