import assert from "node:assert/strict";
import { test } from "node:test";
import { toALine, wholeLetters } from "../../assets/js/pieces.js";

const bytes = (text) => new TextEncoder().encode(text);

test("a piece begins at a line, or at least at a letter", () => {
  for (const [piece, n] of [
    [bytes("d\nlast\n"), 2],
    [bytes("\nlast"), 1],
    [bytes("last\n"), 0],
    [bytes("ö").slice(1), 1],
    [bytes("😀x").slice(1), 3],
    [bytes(""), 0],
    [Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80), 3],
  ]) {
    assert.equal(toALine(piece), n);
  }
});

test("a piece ends behind a letter", () => {
  for (const [piece, n] of [
    [bytes("abc"), 3],
    [bytes("aö"), 3],
    [bytes("aö").slice(0, 2), 1],
    [bytes("a😀").slice(0, 4), 1],
    [bytes("a😀"), 5],
    [bytes("ö").slice(0, 1), 0],
    [bytes(""), 0],
    [Uint8Array.of(0x80, 0x80, 0x80, 0x80), 4],
    [Uint8Array.of(0x61, 0xff), 1],
  ]) {
    assert.equal(wholeLetters(piece), n);
  }
});
