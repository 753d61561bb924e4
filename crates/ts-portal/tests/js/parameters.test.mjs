// Parameters of any shape as columns, and the axes made of them.
import assert from "node:assert/strict";
import test from "node:test";
import { axis, passes, scaleOf, topRows } from "../../assets/js/axes.js";
import { axisKind, compare, flatten } from "../../assets/js/parameters.js";

const flat = (given) => Object.fromEntries(flatten(given));

test("what tuners wrap parameters in is taken off", () => {
  assert.deepEqual(flat({ parameter_id: 3, parameter_source: "algorithm", parameters: { lr: 0.1 } }), { lr: 0.1 });
});

test("nested choices stand under their own name", () => {
  const layer = { _name: "conv", size: { _name: "small", k: 3 }, pads: [1, 2] };
  assert.deepEqual(flat({ layer }), { layer: "conv", "layer.size": "small", "layer.size.k": 3, "layer.pads": "[1,2]" });
});

test("parameters of any shape are taken", () => {
  assert.deepEqual(flat(null), {});
  assert.deepEqual(flat(undefined), {});
  assert.deepEqual(flat("text"), { parameters: "text" });
  assert.deepEqual(flat([1]), { parameters: "[1]" });
  assert.deepEqual(flat({ a: null, b: false }), { a: null, b: false });
  assert.equal(flatten(JSON.parse('{"__proto__": {"x": 1}}')).get("__proto__.x"), 1);
});

test("kinds of axes follow the search space and the values", () => {
  assert.equal(axisKind({ _type: "loguniform" }, [0.1, 0.01]), "log");
  assert.equal(axisKind({ _type: "loguniform" }, [0.1, -1]), "linear");
  assert.equal(axisKind({ _type: "choice", _value: [16, 32] }, [16, 32]), "category");
  assert.equal(axisKind({ _type: "uniform" }, [0.1, "a"]), "category");
  assert.equal(axisKind(null, [1, null, 2]), "linear");
  assert.equal(axisKind(null, []), "linear");
});

test("values are ordered, what is missing at the end", () => {
  const values = ["b", 2, null, 10, "a", undefined, Number.NaN];
  assert.deepEqual(values.sort(compare).slice(0, 4), [2, 10, "a", "b"]);
});

const rows = [
  { final: 0.5, params: new Map([["lr", 0.1], ["opt", "adam"]]) },
  { final: 0.9, params: new Map([["lr", 0.01], ["opt", "sgd"]]) },
  { final: null, params: new Map([["opt", "sgd"]]) },
  { final: 0.1, params: new Map([["lr", 0.001], ["opt", "adam"]]) },
];
const of = (name) => (row) => row.params.get(name);

test("brushes keep rows", () => {
  const axes = [axis("lr", of("lr"), { _type: "loguniform" }, rows), axis("opt", of("opt"), null, rows)];
  assert.deepEqual(axes.map((a) => a.kind), ["log", "category"]);
  const kept = (brushes) => rows.filter((row) => passes(row, axes, new Map(brushes))).map((row) => row.final);
  assert.deepEqual(kept([]), [0.5, 0.9, null, 0.1]);
  assert.deepEqual(kept([["lr", { low: 0.005, high: 1 }]]), [0.5, 0.9]);
  assert.deepEqual(kept([["opt", { values: new Set(["sgd"]) }]]), [0.9, null]);
  assert.deepEqual(kept([["lr", { low: 0.005, high: 1 }], ["opt", { values: new Set(["sgd"]) }]]), [0.9]);
});

test("the best are a part of those with a result", () => {
  assert.deepEqual(topRows(rows, 34, false).map((row) => row.final), [0.9]);
  assert.deepEqual(topRows(rows, 67, true).map((row) => row.final), [0.1, 0.5]);
  assert.equal(topRows(rows, 100, true).length, 4);
});

test("an axis that cannot be logarithmic is not", () => {
  const zero = [{ params: new Map([["x", 0]]) }, { params: new Map([["x", 1]]) }];
  assert.equal(axis("x", of("x"), null, zero, "log").kind, "linear");
  assert.equal(axis("opt", of("opt"), null, rows, "linear").kind, "category");
});

test("whole numbers have whole ticks", () => {
  const some = [1, 2, 3].map((x) => ({ params: new Map([["x", x]]) }));
  const ticks = scaleOf(axis("x", of("x"), null, some), [0, 100]).ticks(8);
  assert.deepEqual(ticks.map((tick) => tick.value), [1, 2, 3]);
});
