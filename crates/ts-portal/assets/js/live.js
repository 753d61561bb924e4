// Keeps the store as new as the manager's: one stream of events, and questions every two seconds while there is none.

import { ApiError, get, pages, send } from "./api.js";
import { EventParser } from "./events.js";
import * as first from "./first.js";

const POLL_MS = 2000;
/** Longest time between two tries to reach a manager that is gone. */
const MAX_RETRY_MS = 15_000;
/** A stream that says nothing for so long is dead: the server sends a sign of life every 15 s. */
const SILENCE_MS = 45_000;
/** Most trials that are asked for by id in one request. */
const MAX_IDS = 50;
/** How long changed trials are gathered before they are read. */
const FLUSH_MS = 300;
const PAGE = 5000;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The one who keeps it so. */
export class Live {
  #store;
  #stale = new Set();
  #isFlushing = false;
  #renewing = false;
  #isFirst = true;
  #revision = null;
  #lastId = null;
  /** Whoever wants to know of each metric: `({id, sequenceId, value}) => …`. */
  onMetric = null;
  /** Is called with the message of a warning. */
  onWarning = null;

  constructor(store) {
    this.#store = store;
  }

  /** Reads everything, then follows it for as long as the page is there. */
  async run() {
    let failures = 0;
    for (;;) {
      try {
        await this.#readAll().finally(() => (this.#isFirst = false));
        failures = 0;
        await this.#follow();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (error.status === 401 || error.status === 403) {
          this.#store.setConnection("denied");
          // The page is loaded anew with the token.
          return;
        }
        failures += 1;
        const pause = Math.min(1000 * 2 ** (failures - 1), MAX_RETRY_MS);
        this.#store.setConnection("offline", Date.now() + pause);
        await wait(pause);
      }
    }
  }

  /** The experiment and all trials. */
  async #readAll() {
    const store = this.#store;
    const experiment = await (this.#isFirst ? first.experiment : get("experiment"));
    this.#revision = experiment.revision ?? null;
    store.takeExperiment(experiment);
    if (this.#isFirst) store.takeTrials(await first.newestTrials);
    for await (const page of pages("trials", { fields: "summary", limit: PAGE })) store.takeTrials(page.trials);
    store.isComplete = true;
    store.changed();
  }

  /** Follows by the stream; while there is none, by asking. Ends by an error when the manager cannot be asked either. */
  async #follow() {
    let pause = POLL_MS;
    for (;;) {
      try {
        await this.#stream();
        pause = POLL_MS;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (error.status === 401 || error.status === 403) throw error;
      }
      const until = Date.now() + pause;
      pause = Math.min(pause * 2, MAX_RETRY_MS);
      do {
        await this.refresh();
        this.#store.setConnection("polling");
        await wait(POLL_MS);
      } while (Date.now() < until);
    }
  }

  /** What has changed since the last time it was asked. */
  async refresh() {
    const experiment = await get("experiment");
    if (experiment.revision === undefined || experiment.revision !== this.#revision) {
      await this.#readChanged();
      this.#revision = experiment.revision;
    }
    this.#store.takeExperiment(experiment);
  }

  /** Trials that had not ended when last seen, and those that are new: ended ones do not change. */
  async #readChanged() {
    const store = this.#store;
    let newest = -1;
    const live = [];
    for (const row of store.trials.values()) {
      newest = Math.max(newest, row.seq);
      if (!row.isEnded) live.push(row.id);
    }
    const query = { fields: "summary", limit: PAGE, after: newest < 0 ? undefined : newest };
    for await (const page of pages("trials", query)) store.takeTrials(page.trials);
    await this.#readSome(live);
  }

  async #readSome(ids) {
    for (let at = 0; at < ids.length; at += MAX_IDS) {
      const some = ids.slice(at, at + MAX_IDS);
      const page = await get("trials", { fields: "summary", id: some.join(","), limit: MAX_IDS });
      this.#store.takeTrials(page.trials);
    }
  }

  /** Reads one stream to its end. */
  async #stream() {
    const abort = new AbortController();
    let dead = setTimeout(() => abort.abort(), SILENCE_MS);
    try {
      const headers = { Accept: "text/event-stream" };
      if (this.#lastId !== null) headers["Last-Event-ID"] = this.#lastId;
      const answer = await send("events", { headers, signal: abort.signal });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new EventParser();
      // Whatever happened between reading and listening.
      await this.refresh();
      this.#store.setConnection("live");
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(dead);
        dead = setTimeout(() => abort.abort(), SILENCE_MS);
        for (const event of parser.push(value)) await this.#take(event);
        this.#lastId = parser.lastId;
      }
    } catch (error) {
      if (error instanceof ApiError) throw error;
      // The connection was cut, or was silent for too long.
      throw new ApiError(0, { message: "the stream of events ended" });
    } finally {
      clearTimeout(dead);
      abort.abort();
    }
  }

  async #take({ event, data }) {
    let told;
    try {
      told = JSON.parse(data);
    } catch {
      return;
    }
    switch (event) {
      case "snapshot":
        this.#store.takeSnapshot(told);
        this.#renew(told.revision);
        break;
      case "trial":
        this.#trial(told);
        break;
      case "metric":
        this.#metric(told);
        break;
      case "warning":
        this.onWarning?.(told.message ?? String(told));
        break;
      case "reset":
        this.#lastId = null;
        await this.refresh();
        break;
    }
  }

  #trial({ id, status, reason, sequenceId }) {
    const row = this.#store.trials.get(id);
    if (row) this.#store.takeTrials([{ id, sequenceId: sequenceId ?? row.seq, status, reason: reason ?? null }]);
    this.#mark(id);
  }

  #metric(told) {
    this.onMetric?.(told);
    this.#mark(told.id);
  }

  /** Limits and totals are read with the next revision, every two seconds at most. */
  #renew(revision) {
    if (revision === this.#revision || this.#renewing) return;
    this.#renewing = true;
    wait(POLL_MS)
      .then(() => get("experiment"))
      .then((experiment) => {
        this.#revision = experiment.revision;
        this.#store.takeExperiment(experiment);
      })
      // Whatever it is, the stream or the next question meets it too.
      .catch(() => {})
      .finally(() => (this.#renewing = false));
  }

  /** Times, results and parameters of a trial are read together with those of others, a few times a second. */
  #mark(id) {
    this.#stale.add(id);
    if (!this.#isFlushing) this.#flush();
  }

  async #flush() {
    this.#isFlushing = true;
    try {
      while (this.#stale.size > 0) {
        await wait(FLUSH_MS);
        const ids = [...this.#stale];
        this.#stale.clear();
        await this.#readSome(ids);
      }
    } catch (error) {
      // Without an answer everything is read anew once there is one.
      if (!(error instanceof ApiError)) throw error;
    } finally {
      this.#isFlushing = false;
    }
  }
}
