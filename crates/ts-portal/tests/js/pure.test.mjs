// The search field, the stream of events, scales.
import assert from "node:assert/strict";
import test from "node:test";
import { category, extent, innerExtent, linear, logarithmic, niceTicks, ranks, timeTicks } from "../../assets/js/chart/scale.js";
import { EventParser } from "../../assets/js/events.js";
import { parseQuery } from "../../assets/js/filter.js";
import { Row } from "../../assets/js/store.js";

const row = new Row({
  id: "aB3",
  sequenceId: 12,
  status: "FAILED",
  reason: { code: "ExitCode", message: "the command ended with code 3", verdict: "userCode" },
  parameters: { parameter_id: 12, parameters: { lr: 0.05, opt: "Adam" } },
  createdAt: "2026-11-23T21:17:00.000Z",
  startedAt: "2026-11-23T21:17:01.000Z",
  endedAt: "2026-11-23T21:17:11.000Z",
  finalNumber: null,
  newestMetric: { kind: "PERIODICAL", value: 0.7, number: 0.7 },
  nMetrics: 3,
});

test("search finds words and compares", () => {
  const fits = (text) => parseQuery(text)?.(row) ?? true;
  for (const text of ["", "  ", "#12", "ab3", "code 3", "failed", "opt=adam", "lr<0.1", "lr>=0.05 failed", "result=0.7", "duration>9", "#<13", "metrics=3", "lr<", "userCode", "opt!=sgd"]) {
    assert.ok(fits(text), text);
  }
  for (const text of ["#13", "sgd", "lr>0.1", "opt=sgd", "duration<5", "nothing<5", "opt<5", "failed sgd", "lr<x"]) assert.ok(!fits(text), text);
});

test("a row keeps what newer facts leave out", () => {
  const other = new Row({ id: "x", sequenceId: 1, status: "RUNNING", parameters: { a: 1 }, startedAt: "2026-11-23T21:17:01.000Z", nMetrics: 2 });
  other.take({ id: "x", status: "SUCCEEDED", reason: null });
  assert.deepEqual([other.status, other.params.get("a"), other.nMetrics, other.started], ["SUCCEEDED", 1, 2, 1795468621000]);
});

test("a row of strange facts is a row", () => {
  const odd = new Row({ id: "x", newestMetric: { value: "NaN", number: null } });
  assert.deepEqual([odd.result, odd.duration(), odd.params.size, odd.seq], [null, null, 0, 0]);
});

test("events come whole whatever the pieces", () => {
  const text = ': hi\n\nid: 7\nevent: trial\ndata: {"a":\ndata: 1}\n\nevent: reset\r\ndata:\r\n\r\ndata: end\n\n';
  const whole = new EventParser().push(text);
  assert.deepEqual(whole, [
    { event: "trial", data: '{"a":\n1}', id: "7" },
    { event: "reset", data: "", id: "7" },
    { event: "message", data: "end", id: "7" },
  ]);
  for (let size = 1; size < 9; size += 1) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parser.push(text.slice(at, at + size)));
    assert.deepEqual(events, whole, `pieces of ${size}`);
  }
});

test("ticks are round and inside", () => {
  assert.deepEqual(niceTicks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(niceTicks(-3, 7, 4), [0, 5]);
  assert.deepEqual(niceTicks(2, 2), [2]);
  assert.deepEqual(timeTicks(0, 180_000, 4), [0, 60_000, 120_000, 180_000]);
  for (const [low, high] of [[1e-9, 2e-9], [-1e6, 1e6], [0.1, 0.3]]) {
    const ticks = niceTicks(low, high);
    assert.ok(ticks.length >= 2 && ticks.length <= 12, `${low} ${high}`);
    const slack = (high - low) * 1e-6;
    for (const t of ticks) assert.ok(t >= low - slack && t <= high + slack);
  }
});

test("scales go there and back", () => {
  for (const scale of [linear([2, 8], [100, 0]), logarithmic([0.001, 10], [100, 0])]) {
    for (const v of [2, 3, 8]) assert.ok(Math.abs(scale.invert(scale.map(v)) - v) < 1e-9);
  }
  assert.ok(Number.isFinite(linear([5, 5], [0, 10]).map(5)));
  assert.ok(Number.isNaN(logarithmic([1, 10], [0, 10]).map(0)));
  const names = category(["a", "b", "c"], [0, 100]);
  assert.deepEqual([names.map("b"), names.invert(70), names.map("z")], [50, "b", Number.NaN]);
});

test("limits ignore what is no number", () => {
  assert.deepEqual(extent([3, Number.NaN, null, "9", -1, Infinity]), [-1, 3]);
  assert.equal(extent([null, "x"]), null);
  assert.equal(innerExtent([]), null);
  assert.deepEqual(innerExtent([...Array(98).fill(1), 1e9, -1e9]), [1, 1]);
});

test("ranks go from worst to best", () => {
  assert.deepEqual(ranks([0.5, null, 0.1, 0.9], false), [0.5, null, 0, 1]);
  assert.deepEqual(ranks([0.5, null, 0.1, 0.9], true), [0.5, null, 1, 0]);
  assert.deepEqual(ranks([Number.NaN, 3], false), [null, 1]);
});
