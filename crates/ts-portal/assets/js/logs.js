// What a trial wrote: stdout, stderr and trial.log, from an offset on, and on as it grows.

import { send, trialPath } from "./api.js";
import { copyButton, h, setText } from "./dom.js";

const FILES = [
  ["stdout", "stdout"],
  ["stderr", "stderr"],
  ["trial", "trial.log"],
];
const CHUNK = 256 * 1024;
/** Most characters that are shown; older ones go first. */
const KEPT = 2_000_000;
const FOLLOW_MS = 1000;

export class LogView {
  #trial = null;
  #kind = "stdout";
  #abort = null;

  constructor() {
    this.text = h("pre", { tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Log" });
    this.state = h("span", { class: "muted", role: "status" });
    this.follow = h("input", { type: "checkbox", checked: true, onchange: () => this.follow.checked && this.#toEnd() });
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
        copyButton("the log", () => this.text.textContent),
        this.state,
      ),
      this.text,
    );
  }

  /** Shows the log of a trial; `trial` is its row. */
  show(trial) {
    if (this.#trial?.id === trial.id && this.#abort) return;
    this.#trial = trial;
    this.#start();
  }

  /** Reads no more. */
  stop() {
    this.#abort?.abort();
    this.#abort = null;
  }

  #choose(kind) {
    this.#kind = kind;
    this.#start();
  }

  #start() {
    this.stop();
    this.text.replaceChildren();
    this.#abort = new AbortController();
    this.#read(this.#abort.signal).catch((error) => {
      if (error.name !== "AbortError") setText(this.state, error.help ? `${error.message} – ${error.help}` : error.message);
    });
  }

  async #read(signal) {
    let offset = 0;
    let length = 0;
    let cut = false;
    // A letter may be cut in two by the end of a piece.
    const decoder = new TextDecoder();
    setText(this.state, "Reading…");
    for (;;) {
      const query = { offset, limit: CHUNK };
      const answer = await send(trialPath(this.#trial.id, `/logs/${this.#kind}`), { query, signal });
      const bytes = await answer.arrayBuffer();
      if (signal.aborted) return;
      const piece = decoder.decode(bytes, { stream: true });
      offset = Number(answer.headers.get("X-Next-Offset") ?? offset);
      const atEnd = answer.headers.get("X-End") === "true" || bytes.byteLength === 0;
      if (piece !== "") {
        this.text.append(document.createTextNode(piece));
        length += piece.length;
        while (length > KEPT && this.text.childNodes.length > 1) {
          length -= this.text.firstChild.data.length;
          this.text.firstChild.remove();
          cut = true;
        }
        if (this.follow.checked) this.#toEnd();
      }
      if (!atEnd) continue;
      const ended = this.#trial.isEnded;
      setText(this.state, words(length, cut, ended));
      if (ended) return;
      await pause(FOLLOW_MS, signal);
    }
  }

  #toEnd() {
    this.text.scrollTop = this.text.scrollHeight;
  }
}

function words(length, cut, ended) {
  if (length === 0) return ended ? "Nothing was written." : "Nothing was written yet.";
  return cut ? "The beginning is left out." : "";
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
