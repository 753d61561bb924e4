// The head of the page: what the experiment is, how far it is, its best trial, its limits, and the button that stops it.

import { send } from "./api.js";
import { confirm, editLimits } from "./dialog.js";
import { button, copyButton, fact, h, setText, toast } from "./dom.js";
import { TRIAL_STATUSES, count, duration, experimentStatus, isTrialEnded, number, time, trialStatus, value } from "./format.js";

const CONNECTIONS = {
  connecting: ["connecting", "Reading…"],
  live: ["live", "Live"],
  polling: ["polling", "Every 2 s"],
  offline: ["offline", "Not connected"],
  denied: ["offline", "Token needed"],
};

/** Order of the parts of the bar: what is over first. */
const BAR = ["SUCCEEDED", "EARLY_STOPPED", "USER_CANCELED", "SYS_CANCELED", "FAILED", "RUNNING", "UNKNOWN", "WAITING"];

export class Summary {
  #store;

  constructor(root, store, { openTrial }) {
    this.#store = store;
    this.name = h("h1", {}, "Experiment");
    this.id = h("code", { class: "muted" });
    this.status = h("span", { class: "chip" });
    this.connection = h("span", { class: "connection", role: "status" });
    this.stop = button("Stop…", () => this.#stop(), { class: "danger", hidden: true });
    this.limits = button("Edit limits", () => this.#editLimits(), { class: "small", hidden: true });
    this.parts = BAR.map((status) => h("span", { "data-status": status }));
    this.bar = h("div", { class: "bar", role: "img" }, this.parts);
    this.message = h("p", { class: "message", hidden: true });
    this.best = button("–", () => this.bestId && openTrial(this.bestId), { class: "link" });
    this.bestId = null;
    this.facts = {};
    const named = (key, name, ...content) => {
      this.facts[key] = h("span", {});
      return fact(name, this.facts[key], ...content);
    };
    root.append(
      h(
        "div",
        { class: "row wrap" },
        this.name,
        this.status,
        this.id,
        copyButton("the experiment's id", () => this.id.textContent),
        h("span", { class: "grow" }),
        this.connection,
        this.limits,
        this.stop,
      ),
      this.bar,
      h(
        "dl",
        { class: "facts" },
        named("trials", "Trials"),
        named("running", "Running"),
        fact("Best", this.best),
        named("elapsed", "Elapsed"),
        named("platform", "Platform"),
        named("started", "Started"),
        named("ended", "Ended"),
      ),
      this.message,
    );
  }

  update() {
    const store = this.#store;
    const isStill = store.experiment !== null && store.isReadOnly && ["live", "polling"].includes(store.connection);
    const [kind, words] = isStill ? ["still", "Not running"] : CONNECTIONS[store.connection];
    this.connection.dataset.kind = kind;
    setText(this.connection, words);
    const experiment = store.experiment;
    if (experiment === null) return;
    const { limits = {} } = experiment;
    const { total, byStatus } = store.counts();
    const ended = Object.entries(byStatus).reduce((n, [status, some]) => (isTrialEnded(status) ? n + some : n), 0);
    const name = experiment.name || experiment.id;
    setText(this.name, String(name));
    document.title = `${name} – ${ended}/${limits.maxTrials ?? total}`;
    setText(this.id, experiment.id === name ? "" : experiment.id);
    this.id.nextSibling.hidden = experiment.id === name;
    this.status.dataset.status = experiment.status;
    setText(this.status, experimentStatus(experiment.status));
    this.stop.hidden = store.isReadOnly;
    this.stop.disabled = experiment.status === "STOPPING" || store.connection === "offline";
    this.limits.hidden = store.isReadOnly;
    this.#showBar(byStatus, Math.max(limits.maxTrials ?? 0, total));
    const of = (n, limit) => (limit === null || limit === undefined ? n : `${n} of ${limit}`);
    setText(this.facts.trials, of(count(ended), limits.maxTrials === null ? null : count(limits.maxTrials)));
    setText(this.facts.running, of(count(byStatus.RUNNING), count(limits.concurrency)));
    this.#showElapsed();
    setText(this.facts.platform, platformText(experiment.platform));
    setText(this.facts.started, time(store.experiment.startedAt ? Date.parse(experiment.startedAt) : null));
    const endedAt = experiment.endedAt ? Date.parse(experiment.endedAt) : null;
    setText(this.facts.ended, time(endedAt));
    this.facts.ended.parentElement.parentElement.hidden = endedAt === null;
    const best = experiment.best;
    this.bestId = best?.trialId ?? null;
    this.best.disabled = this.bestId === null;
    setText(this.best, best ? `${best.number === null || best.number === undefined ? value(best.value) : number(best.number)} · #${best.sequenceId}` : "none yet");
    this.message.hidden = !experiment.message;
    setText(this.message, experiment.message ?? "");
  }

  /** The time goes on between two changes. */
  tick() {
    if (this.#store.experiment !== null) this.#showElapsed();
  }

  #showElapsed() {
    const longest = this.#store.experiment.limits?.maxDurationMs;
    const elapsed = Math.floor(this.#store.elapsed() / 1000) * 1000;
    const text = duration(this.#store.isReadOnly ? this.#store.elapsed() : elapsed);
    setText(this.facts.elapsed, longest ? `${text} of ${duration(longest)}` : text);
  }

  #showBar(byStatus, total) {
    const words = [];
    for (const part of this.parts) {
      const { status } = part.dataset;
      const n = byStatus[status] ?? 0;
      part.style.flexGrow = total > 0 ? n / total : 0;
      part.hidden = n === 0;
      part.title = `${trialStatus(status)}: ${count(n)}`;
    }
    for (const status of TRIAL_STATUSES.keys()) if (byStatus[status]) words.push(`${byStatus[status]} ${trialStatus(status)}`);
    this.bar.setAttribute("aria-label", words.length > 0 ? `Trials: ${words.join(", ")}` : "No trials yet");
  }

  #stop() {
    const running = this.#store.counts().byStatus.RUNNING ?? 0;
    const text = `${running === 0 ? "No trial is running." : `${count(running)} running trials are ended.`} The experiment can be resumed later by \`tsctl resume\`.`;
    return confirm("Stop the experiment?", text, "Stop the experiment", async () => {
      await send("experiment/stop", { method: "POST", body: {} });
      this.#store.stops();
      toast("The experiment is being stopped");
    });
  }

  async #editLimits() {
    const saved = await editLimits({ concurrency: null, maxTrials: null, maxDurationMs: null, ...this.#store.experiment.limits }, async (limits) => {
      const answer = await send("experiment", { method: "PATCH", body: { limits } });
      this.#store.takeExperiment(await answer.json());
    });
    if (saved && Object.keys(saved).length > 0) toast("Limits saved");
  }
}

const platformText = (platform) => (Array.isArray(platform) ? platform.map(value).join(", ") : value(platform));
