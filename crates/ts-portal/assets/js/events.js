// Server-sent events out of a stream of text. `EventSource` cannot send a token, so the page reads the stream itself. Pure.

/** Cuts text into events as it comes, in pieces of any size. */
export class EventParser {
  #rest = "";
  #event = "";
  #data = [];
  /** Id of the newest event, to go on from. */
  lastId = null;

  /** Takes the next piece and returns the events that are whole now, as `{event, data, id}`. */
  push(text) {
    this.#rest += text;
    const events = [];
    for (;;) {
      const end = this.#rest.search(/\r\n|\n|\r/);
      // A return at the very end may be the first half of a line's end.
      if (end < 0 || (this.#rest[end] === "\r" && end === this.#rest.length - 1)) return events;
      const line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + (this.#rest.startsWith("\r\n", end) ? 2 : 1));
      if (line === "") {
        if (this.#data.length > 0) {
          events.push({ event: this.#event || "message", data: this.#data.join("\n"), id: this.lastId });
        }
        this.#event = "";
        this.#data = [];
      } else {
        this.#field(line);
      }
    }
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const raw = colon < 0 ? "" : line.slice(colon + 1);
    const value = raw.startsWith(" ") ? raw.slice(1) : raw;
    if (name === "event") this.#event = value;
    else if (name === "data") this.#data.push(value);
    else if (name === "id" && !value.includes("\0")) this.lastId = value;
  }
}
