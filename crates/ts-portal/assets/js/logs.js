// What a trial wrote: stdout, stderr and trial.log, from the end on and on as it grows; back from there piece by piece.

import { send, trialPath } from "./api.js";
import { button, copyButton, h, setText } from "./dom.js";
import { toALine, wholeLetters } from "./pieces.js";

const FILES = [
  ["stdout", "stdout"],
  ["stderr", "stderr"],
  ["trial", "trial.log"],
];
const CHUNK = 256 * 1024;
/** Most characters that are shown; what is farthest from where one reads goes first. */
const KEPT = 2_000_000;
const FOLLOW_MS = 1000;

export class LogView {
  #trial = null;
  #kind = "stdout";
  #abort = null;
  /** What is shown: texts with the bytes that they stand for. */
  #pieces = [];
  #length = 0;

  constructor() {
    this.text = h("pre", { tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Log" });
    this.state = h("span", { class: "muted", role: "status" });
    this.follow = h("input", { type: "checkbox", checked: true, onchange: () => this.follow.checked && this.#start() });
    this.beginning = button("From the beginning", () => this.#restart(), { class: "small" });
    this.earlier = button("Earlier", () => this.#guarded((signal) => this.#back(signal)), { class: "small" });
    this.later = button("Later", () => this.#forth(), { class: "small" });
    const group = `log-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    const files = FILES.map(([kind, name]) => {
      const box = h("input", { type: "radio", name: group, value: kind, checked: kind === this.#kind, onchange: () => this.#choose(kind) });
      return h("label", { class: "check" }, box, h("span", {}, name));
    });
    this.root = h(
      "div",
      { class: "logs" },
      h(
        "div",
        { class: "row wrap", role: "group", "aria-label": "Log" },
        files,
        h("label", { class: "check" }, this.follow, h("span", {}, "Follow")),
        this.beginning,
        this.earlier,
        copyButton("the log", () => this.text.textContent),
        this.state,
      ),
      this.text,
      h("div", { class: "row" }, this.later),
    );
  }

  /** Shows the log of a trial; `trial` is its row. */
  show(trial) {
    if (this.#trial?.id === trial.id && this.#abort) return;
    this.#trial = trial;
    this.follow.checked = true;
    this.#start();
  }

  /** Reads no more. */
  stop() {
    this.#abort?.abort();
    this.#abort = null;
  }

  get #begin() {
    return this.#pieces[0]?.from ?? 0;
  }

  get #end() {
    return this.#pieces.at(-1)?.to ?? 0;
  }

  #choose(kind) {
    this.#kind = kind;
    this.follow.checked = true;
    this.#start();
  }

  #restart() {
    this.follow.checked = false;
    this.#start();
  }

  /** From the end if that is followed, else from the beginning. */
  #start() {
    this.text.replaceChildren();
    this.#pieces = [];
    this.#length = 0;
    this.#readOn(this.follow.checked ? { tail: CHUNK } : { offset: 0 });
  }

  #readOn(query) {
    this.#guarded((signal) => this.#read(query, signal));
  }

  /** Reads one way at a time, and says what went wrong. */
  #guarded(read) {
    this.stop();
    this.#abort = new AbortController();
    read(this.#abort.signal).catch((error) => {
      if (error.name !== "AbortError") setText(this.state, error.help ? `${error.message} – ${error.help}` : error.message);
    });
  }

  /** Reads on, and on as the log grows; stops where as much is shown as may be, unless the end is followed. */
  async #read(query, signal) {
    setText(this.state, "Reading…");
    this.#offer(false);
    for (;;) {
      const answer = await this.#ask({ limit: CHUNK, ...query }, signal);
      const ended = this.#trial.isEnded;
      const atEnd = answer.isEnd || answer.bytes.length === 0;
      // The rest of a letter comes with the next piece, if there is one.
      const n = answer.isEnd ? answer.bytes.length : wholeLetters(answer.bytes);
      this.#append(answer.from, answer.bytes.subarray(0, n));
      query = { offset: answer.from + n };
      const isFull = this.#length >= KEPT && !this.follow.checked;
      if (!atEnd && !isFull && n > 0) continue;
      setText(this.state, words(this.#length, ended));
      this.#offer(!atEnd && isFull);
      if (ended || (!atEnd && isFull)) return;
      await pause(FOLLOW_MS, signal);
    }
  }

  /** Reads the piece before what is shown. */
  async #back(signal) {
    this.follow.checked = false;
    const end = this.#begin;
    const from = Math.max(0, end - CHUNK);
    const answer = await this.#ask({ offset: from, limit: end - from }, signal);
    const skipped = from === 0 ? 0 : toALine(answer.bytes);
    const before = this.text.scrollHeight - this.text.scrollTop;
    const piece = this.#piece(from + skipped, answer.bytes.subarray(skipped));
    this.#pieces.unshift(piece);
    this.text.prepend(piece.node);
    let isCut = false;
    while (this.#length > KEPT && this.#pieces.length > 1) {
      this.#drop(this.#pieces.pop());
      isCut = true;
    }
    this.text.scrollTop = this.text.scrollHeight - before;
    if (!isCut) return this.#read({ offset: this.#end }, signal);
    this.#offer(true);
    setText(this.state, "");
  }

  /** Reads on where reading stopped, and makes room for that. */
  #forth() {
    const offset = this.#end;
    const below = this.text.scrollHeight - this.text.scrollTop;
    while (this.#length > KEPT / 2 && this.#pieces.length > 1) this.#drop(this.#pieces.shift());
    this.text.scrollTop = this.text.scrollHeight - below;
    this.#readOn({ offset });
  }

  async #ask(query, signal) {
    const answer = await send(trialPath(this.#trial.id, `/logs/${this.#kind}`), { query, signal });
    const bytes = new Uint8Array(await answer.arrayBuffer());
    signal.throwIfAborted();
    return { bytes, from: Number(answer.headers.get("X-Offset")), isEnd: answer.headers.get("X-End") === "true" };
  }

  #append(from, bytes) {
    if (bytes.length > 0) {
      const piece = this.#piece(from, bytes);
      this.#pieces.push(piece);
      this.text.append(piece.node);
    }
    while (this.#length > KEPT && this.#pieces.length > 1 && this.follow.checked) this.#drop(this.#pieces.shift());
    if (this.follow.checked) this.text.scrollTop = this.text.scrollHeight;
  }

  #piece(from, bytes) {
    const node = document.createTextNode(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
    this.#length += node.data.length;
    return { node, from, to: from + bytes.length };
  }

  #drop({ node }) {
    this.#length -= node.data.length;
    node.remove();
  }

  /** Shows the ways to what is not shown. */
  #offer(hasLater) {
    this.earlier.hidden = this.#begin === 0;
    this.beginning.hidden = this.#begin === 0;
    this.later.hidden = !hasLater;
  }
}

function words(length, ended) {
  if (length > 0) return "";
  return ended ? "Nothing was written." : "Nothing was written yet.";
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("aborted", "AbortError"));
    });
  });
}
