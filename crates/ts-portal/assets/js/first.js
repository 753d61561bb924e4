// What is asked before the other modules are there: the experiment, and its newest trials, which are what the screen shows.

import { get, takeToken } from "./api.js";

/** Trials of the first page: what is on the screen and a little more. */
const FIRST_PAGE = 200;

takeToken();

/** The experiment. */
export const experiment = get("experiment");

/** The newest trials; none where a page holds all. */
export const newestTrials = experiment.then(async ({ trials }) => {
  const after = (trials?.total ?? 0) - FIRST_PAGE - 1;
  return after < 0 ? [] : (await get("trials", { fields: "summary", after, limit: FIRST_PAGE })).trials;
});

// Whoever waits for them hears of a failure.
experiment.catch(() => {});
newestTrials.catch(() => {});
