// Starts the page: builds its parts, shows the one that the address names, and hands every change on.

import { get, setToken, takeToken } from "./api.js";
import { Detail } from "./detail.js";
import { askToken, showKeys } from "./dialog.js";
import { setText, toast } from "./dom.js";
import { duration, experimentStatus, isExperimentEnded } from "./format.js";
import { Live } from "./live.js";
import { Store } from "./store.js";
import { Summary } from "./summary.js";
import { ChartsView } from "./view/charts.js";
import { CurvesView } from "./view/curves.js";
import { ExperimentView } from "./view/experiment.js";
import { ParallelView } from "./view/parallel.js";
import { TrialsView } from "./view/trials.js";

/** Most of its time that the page draws while events pour in: one part of so many. */
const DRAW_PART = 5;
/** Longest pause between two drawings. */
const MAX_PAUSE_MS = 1000;

const KEYS = [
  ["/", "search trials"],
  ["↑ ↓ PgUp PgDn Home End", "move in the list"],
  ["Enter", "open the trial"],
  ["Space", "choose the trial, to cancel or retry several"],
  ["Ctrl A", "choose all that are listed"],
  ["Esc", "close the trial, a menu or a dialog"],
  ["1 … 5", "go to a view"],
  ["← →", "move in a chart, Enter opens"],
  ["?", "this list"],
];

const store = new Store();
const live = new Live(store);
const element = (id) => document.getElementById(id);
/** Whoever opens a trial by a key goes on in it; whoever presses on a row walks on in the list, with the trial beside it. */
let byKey = false;
const openTrial = (id, options = {}) => {
  byKey = options.byKey ?? false;
  go(`trials/${encodeURIComponent(id)}`);
};
const trialHash = (id) => `#/trials/${encodeURIComponent(id)}`;
const summary = new Summary(element("summary"), store, { openTrial });
const trials = new TrialsView(store, { openTrial });
const curves = new CurvesView(store, { openTrial, trialsView: trials });
const views = {
  trials,
  curves,
  parallel: new ParallelView(store, {
    openTrial,
    showInList: (ids, words) => {
      trials.restrictTo(ids, words);
      go("trials");
    },
  }),
  charts: new ChartsView(store, { openTrial }),
  experiment: new ExperimentView(store),
};
const detail = new Detail(element("detail"), store, { close: closeDetail });
let view = null;
/** From when on it may draw again, by `performance.now()`. */
let drawNext = 0;
let drawing = null;
/** What had the focus before the trial was opened. */
let cameFrom = null;

/** Goes there at once; the event that follows finds everything in its place. */
function go(path) {
  location.hash = `#/${path}`;
  route();
}

/** Shows what the address names: `#/VIEW` or `#/trials/ID`. */
function route() {
  const [name, id] = location.hash.replace(/^#\/?/, "").split("/");
  const next = views[name] ? name : "trials";
  const trial = id ? decodeURIComponent(id) : null;
  if (views[next] !== view) {
    view = views[next];
    element("main").replaceChildren(view.root);
    for (const link of element("views").querySelectorAll("a")) {
      if (link.dataset.view === next) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    view.update();
    view.enter?.();
  }
  if (trial !== null && !detail.isOpen) cameFrom = document.activeElement;
  trials.table.setActive(trial ?? trials.table.active);
  const isOther = trial !== detail.id;
  detail.show(trial, { focus: byKey || (isOther && (document.activeElement !== trials.table.grid || !isWide())) });
  byKey = false;
}

const isWide = () => matchMedia("(min-width: 900px)").matches;

function closeDetail() {
  const back = cameFrom?.isConnected ? cameFrom : trials.table.grid;
  go(views.trials === view ? "trials" : currentView());
  back.focus();
}

const currentView = () => Object.keys(views).find((name) => views[name] === view);

trials.table.onMove = (id) => {
  if (!detail.isOpen || !isWide()) return;
  history.replaceState(null, "", trialHash(id));
  detail.show(id, { focus: false });
};

function draw() {
  drawing = null;
  const began = performance.now();
  view?.update();
  detail.update();
  const took = performance.now() - began;
  drawNext = performance.now() + Math.min(took * (DRAW_PART - 1), MAX_PAUSE_MS);
}

store.subscribe(() => {
  summary.update();
  showBanner();
  if (drawing !== null) return;
  const due = drawNext - performance.now();
  if (due <= 0) draw();
  else drawing = setTimeout(draw, due);
});

/** What is wrong with the connection, in words. */
function showBanner() {
  const banner = element("banner");
  const { connection, experiment, retryAt } = store;
  let words = "";
  if (connection === "offline") {
    words = offlineWords(experiment, Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)));
  } else if (experiment?.stalled) {
    words = `Nothing can be stored at present: ${experiment.stalled}`;
  } else if (experiment !== null && store.isReadOnly) {
    words = isExperimentEnded(experiment.status)
      ? `This experiment has ended (${experimentStatus(experiment.status)}). Nothing can be changed; \`tsctl resume ${experiment.id}\` goes on with it.`
      : `Nobody runs this experiment at present. \`tsctl resume ${experiment.id}\` goes on with it.`;
  }
  banner.hidden = words === "";
  banner.dataset.kind = connection === "offline" || experiment?.stalled ? "warning" : "info";
  setText(banner, words);
}

function offlineWords(experiment, seconds) {
  if (experiment === null) return `The manager does not answer. Next try in ${seconds} s.`;
  const { id, status } = experiment;
  if (isExperimentEnded(status)) return `The experiment has ended (${experimentStatus(status)}) and its manager is gone. \`tsctl web ${id}\` shows it again.`;
  if (status === "STOPPING") return `The experiment was being stopped and its manager is gone. \`tsctl web ${id}\` shows how it ended.`;
  const age = duration(Math.floor((Date.now() - store.experimentAt) / 1000) * 1000);
  return `The manager does not answer. What is shown is from ${age} ago. Next try in ${seconds} s. If the experiment has ended, \`tsctl web ${id}\` shows it.`;
}

setInterval(() => {
  summary.tick();
  if (store.connection === "offline") showBanner();
}, 1000);

/** Asks for the token until one is taken. */
let asking = null;
store.subscribe(() => {
  if (store.connection !== "denied" || asking !== null) return;
  asking = askToken(async (token) => {
    setToken(token);
    await get("experiment");
    location.reload();
  });
});

live.onWarning = (message) => toast(message, "error");
live.onMetric = (metric) => curves.onMetric(metric);

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, dialog");
  if (event.key === "Escape" && event.target === trials.search) {
    // The browser would empty the field.
    event.preventDefault();
    trials.table.grid.focus();
    return;
  }
  if (event.key === "Escape" && detail.isOpen && !event.target.closest("dialog")) closeDetail();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const names = Object.keys(views);
  if (event.key === "/") {
    go("trials");
    trials.search.focus();
    trials.search.select();
  } else if (event.key === "?") showKeys(KEYS);
  else if (event.key >= "1" && event.key <= String(names.length)) go(names[Number(event.key) - 1]);
  else return;
  event.preventDefault();
});
element("keys").addEventListener("click", () => showKeys(KEYS));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  element("main").focus();
});
document.addEventListener("visibilitychange", () => store.changed());
window.addEventListener("hashchange", () => {
  takeToken();
  route();
});

route();
live.run().catch((error) => toast(`This page has a fault: ${error.message}`, "error"));
