// Words for times, numbers and values.
import assert from "node:assert/strict";
import test from "node:test";
import * as format from "../../assets/js/format.js";

test("durations have two units at most", () => {
  for (const [ms, text] of [
    [0, "0 ms"], [999, "999 ms"], [1500, "1.5 s"], [59_990, "1 min"], [60_000, "1 min"], [184_000, "3 min 4 s"],
    [3_600_000, "1 h"], [93_600_000, "1 d 2 h"], [-5, "0 ms"], [Number.NaN, "–"], [null, "–"],
  ]) assert.equal(format.duration(ms), text, String(ms));
});

test("what is shown as a duration is understood as one", () => {
  for (const ms of [0, 350, 12_000, 184_000, 5_400_000, 93_600_000]) assert.equal(format.parseDuration(format.duration(ms)), ms);
  assert.equal(format.parseDuration(" 2h 30m "), 9_000_000);
  assert.equal(format.parseDuration("1.5h"), 5_400_000);
  for (const bad of ["", "5", "h", "5 weeks", "-1h", "1h x", "<b>"]) assert.equal(format.parseDuration(bad), null, bad);
});

test("numbers are short and keep their size", () => {
  for (const [x, text] of [
    [0, "0"], [42, "42"], [0.1 + 0.2, "0.3"], [123456.789, "123457"], [1e-5, "1e-5"], [4.3184e-5, "4.318e-5"], [-2.5e9, "-2.5e9"],
    [Number.NaN, "NaN"], [Infinity, "Infinity"], ["0.5", "–"], [null, "–"],
  ]) assert.equal(format.number(x), text, String(x));
});

test("any value is one line", () => {
  assert.equal(format.value({ default: 0.5, loss: [1] }), '{"default":0.5,"loss":[1]}');
  assert.equal(format.value("NaN"), "NaN");
  assert.equal(format.value(null), "–");
  assert.equal(format.value(false), "false");
});

test("unknown statuses are shown as they come", () => {
  assert.equal(format.trialStatus("FAILED"), "Failed");
  assert.equal(format.trialStatus("NEW_ONE"), "NEW_ONE");
  assert.equal(format.experimentStatus(undefined), "–");
});

test("times that are none are null", () => {
  assert.equal(format.instant("2026-11-23T21:17:00.123Z"), 1795468620123);
  for (const bad of [null, undefined, "soon", 5]) assert.equal(format.instant(bad), null);
});

test("times are short where they are of today", () => {
  const at = new Date(2026, 10, 3, 9, 5, 7).getTime();
  assert.equal(format.time(at, at + 1000), "09:05:07");
  assert.equal(format.time(at, at + 86_400_000), "3 Nov, 09:05");
  assert.equal(format.time(at, new Date(2027, 0, 1).getTime()), "3 Nov 2026, 09:05");
  assert.equal(format.time(null), "–");
});
