// The page beside a real experiment: from its first trial over changes, cancels, a killed manager and its return, to its end.
import assert from "node:assert/strict";
import { accessible, api, fits, open, picture, run, tsctl, until, wholesome } from "./browser.mjs";

const EXPERIMENT = process.argv[2];

await run(async (browser) => {
  let manager = await tsctl("run", EXPERIMENT, "--port", "0");
  const { url } = manager;
  const { port } = new URL(url);
  const page = await open(browser, url);
  const row = (seq) => page.locator("table.trials tbody tr", { has: page.locator(`td:nth-child(2):text-is("${seq}")`) });
  const status = async (seq) => (await row(seq).count()) > 0 && (await row(seq).locator("[data-status]").getAttribute("data-status"));
  const is = (seq, wanted) => until(`trial ${seq} is ${wanted}`, async () => (await status(seq)) === wanted);

  try {
    await follows();
    await polls();
    await hides();
    await details();
    await charts();
    await changes();
    await returns();
    await ends();
    await wholesome(page);
  } finally {
    manager.child.kill("SIGINT");
    await manager.ended;
  }

  async function follows() {
    await until("it is live", async () => (await page.locator(".connection").getAttribute("data-kind")) === "live");
    for (const [seq, wanted] of [[0, "SUCCEEDED"], [1, "SUCCEEDED"], [2, "FAILED"], [3, "SUCCEEDED"], [4, "SUCCEEDED"], [5, "RUNNING"], [6, "RUNNING"]]) await is(seq, wanted);
    await until("the result of an object", async () => (await row(3).textContent()).includes("0.7"));
    await until("a result that is no number", async () => (await row(1).textContent()).includes("NaN"));
    assert.match(await row(2).textContent(), /code 3/, "the reason stands in the table");
    assert.equal(await page.locator("h1").textContent(), '<img src=x onerror="window.injected=1">');
    await until("the best", async () => (await page.locator(".fact", { hasText: "Best" }).textContent()).includes("0.9 · #0"));
    // Running trials report five times a second: it is seen without a reload.
    const first = await row(5).textContent();
    await until("a metric shows up", async () => (await row(5).textContent()) !== first);
    await accessible(page, "the list");
    await picture(page, "live-list");
  }

  /** Without a stream the page asks. */
  async function polls() {
    const other = await browser.newContext();
    const polling = await other.newPage();
    await polling.route("**/api/v2/events", (route) => route.abort());
    await polling.goto(url);
    await until("it asks", async () => (await polling.locator(".connection").getAttribute("data-kind")) === "polling");
    const running = polling.locator("table.trials tbody tr[aria-rowindex]").first();
    const before = await running.textContent();
    await until("a metric shows up", async () => (await running.textContent()) !== before);
    await other.close();
  }

  /** A page that nobody sees holds no connection, and goes on when it is seen again. */
  async function hides() {
    const other = await browser.newContext();
    const hidden = await other.newPage();
    const streams = [];
    hidden.on("request", (request) => request.url().endsWith("/events") && streams.push(request));
    let ended = 0;
    hidden.on("requestfailed", (request) => (ended += Number(streams.includes(request))));
    await hidden.goto(url);
    const kind = () => hidden.locator(".connection").getAttribute("data-kind");
    await until("it is live", async () => (await kind()) === "live");
    const look = (state) =>
      hidden.evaluate((now) => {
        Object.defineProperty(document, "visibilityState", { value: now, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, state);
    await look("hidden");
    await until("the stream is let go", () => ended === 1);
    await look("visible");
    await until("there is another", async () => streams.length === 2 && (await kind()) === "live");
    await other.close();
  }

  async function details() {
    await row(2).click();
    const detail = page.locator("#detail");
    await until("the end of stderr", async () => (await detail.textContent()).includes("onerror=window.injected=4> gave up"));
    assert.match(await detail.textContent(), /its own code failed/);
    await accessible(page, "a trial");
    await picture(page, "live-failed");
    await detail.getByRole("tab", { name: "Logs" }).click();
    const log = detail.getByRole("log");
    await until("stdout", async () => (await log.textContent()).includes("<script>window.injected=3</script> größer"));
    await detail.getByRole("radio", { name: "stderr" }).check();
    await until("stderr", async () => (await log.textContent()).includes("gave up") && !(await log.textContent()).includes("script"));
    await accessible(page, "a log");
    await row(5).click();
    await detail.getByRole("radio", { name: "stdout" }).check();
    await until("the log of a running trial", async () => (await log.textContent()).includes("line "));
    const length = (await log.textContent()).length;
    await until("the log grows", async () => (await log.textContent()).length > length);
    await until("its end is in sight", () => log.evaluate((e) => e.scrollHeight - e.scrollTop - e.clientHeight < 40));
    await row(3).click();
    await detail.getByRole("radio", { name: "stdout" }).check();
    const text = () => log.textContent();
    await until("the end of a long log", async () => (await text()).endsWith("row 300000\n"));
    assert.match(await text(), /^row \d+\n/, "it begins at a line");
    const tail = (await text()).length;
    await detail.getByRole("button", { name: "Earlier" }).click();
    await until("more of it", async () => (await text()).length > tail);
    assert.match(await text(), /^(row \d+\n)+$/, "its pieces fit together");
    await detail.getByRole("button", { name: "From the beginning" }).click();
    await until("its beginning", async () => (await text()).startsWith(`trial 3 `));
    const later = detail.getByRole("button", { name: "Later" });
    await until("its end again", async () => {
      if (await later.isVisible()) await later.click();
      return (await text()).endsWith("row 300000\n");
    });
    assert.doesNotMatch(await text(), /^trial 3 /, "the beginning made room");
    await accessible(page, "a long log");
    await detail.getByRole("tab", { name: "Trial" }).click();
    await row(3).click();
    await until("a result with a note", async () => (await detail.textContent()).includes("window.injected=5"));
    await row(4).click();
    await until("a trial that reported nothing", async () => (await detail.textContent()).includes("This trial has reported nothing."));
    await page.keyboard.press("Escape");
    await until("it is closed", () => detail.isHidden());
    await page.goto(`${url}#/trials/nothing`);
    await until("an unknown trial", async () => (await detail.textContent()).includes("There is no such trial"));
    await page.keyboard.press("Escape");
  }

  async function charts() {
    for (const [view, name] of [["Curves", "curves"], ["Parameters", "parallel"], ["Progress", "charts"], ["Experiment", "experiment"]]) {
      await page.getByRole("link", { name: view, exact: true }).click();
      await page.locator(`section[aria-label="${view}"]`).waitFor();
      await accessible(page, name);
      await fits(page, name);
      await picture(page, `live-${name}`);
    }
    await page.getByRole("link", { name: "Curves" }).click();
    await until("curves are drawn", async () => /^[1-9]\d* curves$/.test(await page.locator("section .muted[role=status]").textContent()));
    await page.getByRole("link", { name: "Trials" }).click();
  }

  async function changes() {
    await row(5).click();
    const detail = page.locator("#detail");
    await detail.getByRole("button", { name: "Cancel", exact: true }).click();
    const dialog = page.getByRole("dialog", { name: "Cancel the trial?" });
    await accessible(page, "a question");
    await dialog.getByRole("button", { name: "Keep running" }).click();
    assert.equal(await status(5), "RUNNING");
    await detail.getByRole("button", { name: "Cancel", exact: true }).click();
    await dialog.getByRole("button", { name: "Cancel the trial" }).click();
    await is(5, "USER_CANCELED");
    await is(7, "RUNNING");
    await row(2).click();
    await detail.getByRole("button", { name: "Retry" }).click();
    await until("it is tried again", async () => (await api(url, "trials?limit=100")).trials.some((trial) => trial.retryOf !== null));
    await page.keyboard.press("Escape");

    await page.getByRole("button", { name: "Edit limits" }).click();
    const limits = page.getByRole("dialog", { name: "Limits" });
    await limits.getByLabel("Longest duration").fill("soon");
    await limits.getByRole("button", { name: "Save" }).click();
    await until("a wrong duration is named", async () => (await limits.getByRole("alert").textContent()).includes("not understood"));
    await accessible(page, "limits");
    await limits.getByLabel("Longest duration").fill("2h 30m");
    await limits.getByLabel("Trials at a time").fill("3");
    await limits.getByRole("button", { name: "Save" }).click();
    await until("limits are changed", async () => {
      const { limits: now } = await api(url, "experiment");
      return now.concurrency === 3 && now.maxTrials === 40 && now.maxDurationMs === 9_000_000;
    });
    await until("three run", async () => (await page.locator(".fact", { hasText: "Running" }).textContent()).includes("3 of 3"));
    await page.getByRole("button", { name: "Edit limits" }).click();
    await limits.getByLabel("Longest duration").fill("");
    await limits.getByRole("button", { name: "Save" }).click();
    await until("a limit is taken away", async () => (await api(url, "experiment")).limits.maxDurationMs === null);
    await limits.waitFor({ state: "detached" });

    for (const seq of [6, 7]) await row(seq).locator(".mark").click();
    await page.getByRole("button", { name: "Cancel 2" }).click();
    await page.getByRole("dialog", { name: "Cancel trials?" }).getByRole("button", { name: "Cancel trials" }).click();
    for (const seq of [6, 7]) await is(seq, "USER_CANCELED");
    await until("none is chosen any more", async () => (await page.locator("tr[aria-selected=true]").count()) === 0);
  }

  async function returns() {
    const banner = page.locator("#banner");
    manager.child.kill("SIGKILL");
    await manager.ended;
    await until("the loss is told", async () => (await banner.textContent()).includes("The manager does not answer."));
    await accessible(page, "without a manager");
    await picture(page, "live-gone");
    manager = await tsctl("resume", "--port", port);
    await until("the banner goes", () => banner.isHidden());
    await until("it is live again", async () => (await page.locator(".connection").getAttribute("data-kind")) === "live");
  }

  async function ends() {
    await page.getByRole("button", { name: "Stop…" }).click();
    await page.getByRole("dialog", { name: "Stop the experiment?" }).getByRole("button", { name: "Stop the experiment" }).click();
    await manager.ended;
    const banner = page.locator("#banner");
    await until("the end is told", async () => /has ended \(Stopped\)|was being stopped/.test(await banner.textContent()));
    manager = await tsctl("web", "--port", port);
    await until("an ended experiment is shown", async () => (await banner.textContent()).includes("Nothing can be changed"));
    assert.ok(await page.getByRole("button", { name: "Stop…" }).isHidden());
    assert.ok(await page.getByRole("button", { name: "Edit limits" }).isHidden());
    await picture(page, "live-ended");
  }
});
