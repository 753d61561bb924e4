// What the page knows: the experiment and its trials. Who shows it subscribes and is told at most once per frame.

import { instant, isExperimentEnded, isTrialEnded } from "./format.js";
import { flatten } from "./parameters.js";

/** A trial as lists show it. */
export class Row {
  searchText = null;
  status = "UNKNOWN";

  constructor(summary) {
    this.id = summary.id;
    this.take(summary);
  }

  /** Takes newer facts; what they leave out stays. */
  take(summary) {
    // An answer from before its end that comes late.
    if (this.isEnded && summary.status !== undefined && !isTrialEnded(summary.status)) return;
    this.seq = summary.sequenceId ?? this.seq ?? 0;
    this.status = summary.status ?? this.status;
    if ("reason" in summary) this.reason = summary.reason;
    if ("parameters" in summary || !this.params) this.params = flatten(summary.parameters);
    for (const [name, key] of [["created", "createdAt"], ["started", "startedAt"], ["ended", "endedAt"]]) {
      if (key in summary || !(name in this)) this[name] = instant(summary[key]);
    }
    if ("finalNumber" in summary || !("final" in this)) this.final = summary.finalNumber ?? null;
    if ("newestMetric" in summary || !("newest" in this)) this.newest = summary.newestMetric ?? null;
    this.nMetrics = summary.nMetrics ?? this.nMetrics ?? 0;
    this.searchText = null;
  }

  get isEnded() {
    return isTrialEnded(this.status);
  }

  /** The final result, or else the newest one so far, as a number; `null` without one. */
  get result() {
    return this.final ?? this.newest?.number ?? null;
  }

  /** How long it has run so far, in milliseconds; `null` before it does. */
  duration(now = Date.now()) {
    if (this.started === null) return null;
    if (this.ended !== null) return this.ended - this.started;
    return this.isEnded ? null : Math.max(0, now - this.started);
  }
}

/** Everything the page knows. */
export class Store {
  /** As `GET /experiment` gives it; `null` before the first answer. */
  experiment = null;
  /** When that answer came: the running time goes on from there. */
  experimentAt = 0;
  /** By id. */
  trials = new Map();
  /** Grows with every change of a trial. */
  version = 0;
  /** Whether all trials have been read once. */
  isComplete = false;
  /** How the page hears of changes: `connecting`, `live`, `polling`, `offline` or `denied`. */
  connection = "connecting";
  /** When the next try to reach the manager is due, in milliseconds since 1970. */
  retryAt = null;
  /** Names of parameters in the order of the search space, then as met. */
  parameterNames = new Set();

  #listeners = new Set();
  #scheduled = false;

  /** Calls `listener` after changes; gives a function that ends it. */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells all who listen, once, before the next frame; a page in the background is told by a timer. */
  changed() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const tell = () => {
      this.#scheduled = false;
      for (const listener of this.#listeners) listener();
    };
    if (document.visibilityState === "visible") requestAnimationFrame(tell);
    else setTimeout(tell, 1000);
  }

  takeExperiment(experiment) {
    this.experiment = experiment;
    this.experimentAt = Date.now();
    const space = experiment.searchSpace;
    if (space && typeof space === "object" && this.parameterNames.size === 0) {
      for (const name of Object.keys(space)) this.parameterNames.add(name);
    }
    this.changed();
  }

  /** What a stream's snapshot tells of the experiment. */
  takeSnapshot({ status, elapsedMs, best, stalled }) {
    if (this.experiment === null) return;
    const sequenceId = best ? this.trials.get(best.trialId)?.seq : null;
    this.experiment = {
      ...this.experiment,
      status,
      durationMs: elapsedMs ?? this.experiment.durationMs,
      best: best && sequenceId !== undefined ? { ...best, sequenceId } : this.experiment.best,
      stalled: stalled ?? null,
    };
    this.experimentAt = Date.now();
    this.changed();
  }

  /** The experiment is being stopped, as this page has asked for. */
  stops() {
    this.experiment = { ...this.experiment, status: "STOPPING" };
    this.changed();
  }

  /** Trials by status: of the rows once all are known, which are newer than what the experiment said. */
  counts() {
    const { total = 0, byStatus = {} } = this.experiment?.trials ?? {};
    if (!this.isComplete || this.trials.size < total) return { total, byStatus };
    const counted = {};
    for (const { status } of this.trials.values()) counted[status] = (counted[status] ?? 0) + 1;
    return { total: this.trials.size, byStatus: counted };
  }

  takeTrials(summaries) {
    for (const summary of summaries) {
      const known = this.trials.get(summary.id);
      if (known) known.take(summary);
      else this.trials.set(summary.id, new Row(summary));
      for (const name of this.trials.get(summary.id).params.keys()) this.parameterNames.add(name);
    }
    if (summaries.length > 0) this.version += 1;
    this.changed();
  }

  setConnection(connection, retryAt = null) {
    if (this.connection === connection && this.retryAt === retryAt) return;
    this.connection = connection;
    this.retryAt = retryAt;
    this.changed();
  }

  /** Whether nothing can be changed: the experiment has ended, or nobody runs it. */
  get isReadOnly() {
    const { experiment } = this;
    return experiment === null || isExperimentEnded(experiment.status) || experiment.managerRunning === false;
  }

  /** Running time until now in milliseconds. */
  elapsed(now = Date.now()) {
    const { experiment } = this;
    if (experiment === null) return null;
    const runs = !this.isReadOnly && this.connection !== "offline" && experiment.startedAt;
    return experiment.durationMs + (runs ? now - this.experimentAt : 0);
  }

  /** Whether a smaller result is the better one. */
  get minimizes() {
    return /min/i.test(String(this.experiment?.optimize ?? ""));
  }

  /** Names of parameters that some trial has, in order. */
  shownParameters() {
    const seen = new Set();
    for (const row of this.trials.values()) for (const name of row.params.keys()) seen.add(name);
    return [...this.parameterNames].filter((name) => seen.has(name));
  }
}
