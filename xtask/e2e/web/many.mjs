// Ten thousand trials: how long the page takes, and that the list, the keys and the charts are usable.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { accessible, fits, open, picture, run, tsctl, until, wholesome } from "./browser.mjs";

const [directory, total] = process.argv.slice(2);
const N = Number(total);
/** Loads of the page that are measured. */
const LOADS = 7;

await run(async (browser) => {
  const { url } = await tsctl("web", directory, "--port", "0");
  await firstPaint(browser, url);
  const page = await open(browser, url);
  const found = page.locator(".trials-view .toolbar .muted[role=status]");
  const counts = (n, of = N) => until(`${n} of ${of}`, async () => (await found.textContent()).replaceAll("\u202f", "") === `${n} of ${of}`);
  await counts(N);
  await list(page, counts);
  await keys(page, counts);
  await charts(page);
  await wholesome(page);
  await page.context().close();
  await appearances(browser, url);
  await token(browser);
});

/** When something is painted, when the list is, and when all trials are known, from the start of the navigation on. */
async function firstPaint(browser, url) {
  const figures = [];
  for (let i = 0; i < LOADS; i += 1) {
    const page = await open(browser, url, {}, watch, N);
    figures.push(await page.evaluate(() => window.figures));
    await page.context().close();
  }
  const median = (name) => figures.map((f) => f[name]).sort((a, b) => a - b)[Math.floor(LOADS / 2)];
  console.log(`figures: first paint ${median("paint").toFixed(0)} ms, list ${median("list").toFixed(0)} ms, all trials ${median("all").toFixed(0)} ms`);
}

/** Runs in the page before anything else there. */
function watch(n) {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const found = () => document.querySelector(".trials-view .toolbar .muted")?.textContent.replaceAll("\u202f", "") ?? "";
  const look = async () => {
    while (document.querySelectorAll("table.trials tbody tr[aria-rowindex]").length < 10) await frame();
    // The frame after the one in which they were made has them on the screen.
    await frame();
    const list = performance.now();
    while (found() !== `${n} of ${n}`) await frame();
    const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0;
    return { paint, list, all: performance.now() };
  };
  window.figures = look();
}

async function list(page, counts) {
  const rows = page.locator("table.trials tbody tr[aria-rowindex]");
  assert.ok((await rows.count()) < 100, "only rows in sight are elements");
  assert.equal(await page.locator("table.trials").getAttribute("aria-rowcount"), String(N + 1));
  const first = () => rows.first().locator("td").nth(1).textContent();
  assert.equal(await first(), String(N - 1));
  // Scrolling to the middle shows what belongs there.
  const scroll = page.locator(".scroll");
  await scroll.evaluate((element) => (element.scrollTop = element.scrollHeight / 2));
  await until("the middle", async () => Math.abs(Number(await first()) - N / 2) < 40);
  await scroll.evaluate((element) => (element.scrollTop = element.scrollHeight));
  await until("the end", async () => (await page.locator("table.trials tbody").textContent()).includes("t000000") || (await rows.locator("td:nth-child(2)").allTextContents()).includes("0"));
  await scroll.evaluate((element) => (element.scrollTop = 0));

  const head = (name) => page.locator("table.trials th button", { hasText: name });
  await head("Result").click();
  await head("Result").click();
  assert.equal(await page.locator("th[aria-sort]").getAttribute("aria-sort"), "descending");
  const results = async () => (await rows.locator("td:nth-child(4)").allTextContents()).map(Number);
  await until("best first", async () => (await results()).slice(0, 5).every((v, i, all) => i === 0 || v <= all[i - 1]));
  const search = page.getByRole("searchbox");
  await search.fill("result>0.8 optimizer=lion lr<0.001");
  await until("few are left", async () => (await rows.locator("visible=true").count()) > 0);
  const shown = await rows.locator("visible=true").allTextContents();
  assert.ok(shown.every((text) => text.includes("lion")));
  await search.fill("no such thing");
  await counts(0);
  assert.ok(await page.getByText("No trial fits the filters.").isVisible());
  await search.fill("");
  const failed = page.locator(".filter[data-status=FAILED]");
  await failed.click();
  await counts((await failed.textContent()).replace(/\D/g, ""));
  assert.deepEqual([...new Set(await rows.locator("visible=true").locator("[data-status]").allTextContents())], ["Failed"]);
  await failed.click();
  await counts(N);
  await page.locator("details.menu summary").click();
  await page.getByLabel("dropout").uncheck();
  await until("a column goes", async () => (await head("dropout").count()) === 0);
  await page.keyboard.press("Escape");
}

async function keys(page, counts) {
  await page.goto(`${page.url().split("#")[0]}#/trials`);
  await page.keyboard.press("/");
  const focused = () => page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent);
  assert.equal(await focused(), "Search trials");
  await page.keyboard.type("status");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("succeeded");
  await page.keyboard.press("Escape");
  assert.equal(await focused(), "Trials");
  const active = () => page.locator("tr.active");
  await page.keyboard.press("Home");
  assert.equal(await active().getAttribute("aria-rowindex"), "2");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("PageDown");
  await page.keyboard.press("ArrowUp");
  assert.ok(Number(await active().getAttribute("aria-rowindex")) > 5);
  await page.keyboard.press("End");
  assert.equal(await active().getAttribute("aria-rowindex"), await page.locator("table.trials").getAttribute("aria-rowcount"));
  assert.ok(await active().isVisible());
  assert.equal(await page.locator("table.trials").getAttribute("aria-activedescendant"), await active().getAttribute("id"));
  await page.keyboard.press("Space");
  assert.equal(await active().getAttribute("aria-selected"), "true");
  await page.keyboard.press("Enter");
  await page.locator("#detail h2", { hasText: "Trial #" }).waitFor();
  assert.match(await focused(), /^Trial #/);
  await page.keyboard.press("Escape");
  assert.ok(await page.locator("#detail").isHidden());
  assert.equal(await focused(), "Trials", "the focus is back");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("dialog").count(), 0);
  // By tabulator alone everything is reached, and each stop can be seen.
  await page.keyboard.press("/");
  await page.keyboard.press("Control+A");
  await page.keyboard.press("Delete");
  await counts(N);
  await page.evaluate(() => document.body.focus());
  const stops = new Set();
  for (let i = 0; i < 60; i += 1) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const element = document.activeElement;
      if (element === document.body) return null;
      return { name: element.getAttribute("aria-label") ?? element.textContent.trim(), outline: getComputedStyle(element).outlineStyle };
    });
    if (stop === null) continue;
    assert.notEqual(stop.outline, "none", `the focus on \`${stop.name}\` cannot be seen`);
    stops.add(stop.name);
  }
  for (const name of ["Skip to content", "Trials", "Curves", "Parameters", "Progress", "Experiment", "Search trials", "Columns", "Result"]) assert.ok(stops.has(name), `\`${name}\` is not reached: ${[...stops]}`);
  for (const [key, view] of [["2", "Curves"], ["3", "Parameters"], ["4", "Progress"], ["5", "Experiment"], ["1", "Trials"]]) {
    await page.keyboard.press(key);
    await page.locator(`section[aria-label="${view}"]`).waitFor();
  }
}

async function charts(page) {
  await page.keyboard.press("2");
  const curves = page.locator("section .muted[role=status]");
  await page.getByLabel("How many trials").selectOption("1000");
  await until("a thousand curves", async () => (await curves.textContent()).replaceAll("\u202f", "") === "1000 curves");
  const canvas = page.locator("section canvas");
  await canvas.hover({ position: { x: 600, y: 120 } });
  const tip = page.locator("section .tip");
  await until("a curve is named", async () => (await tip.isVisible()) && /Trial #\d+.*Result/.test(await tip.textContent()));
  await page.getByLabel("Which trials").selectOption("best");
  await page.getByLabel("How many trials").selectOption("10");
  await until("the ten best", async () => (await curves.textContent()) === "10 curves");

  await page.keyboard.press("Escape");
  await page.locator("#views a", { hasText: "Parameters" }).click();
  const selected = page.locator("section .muted[role=status]");
  const n = async () => Number((await selected.textContent()).replaceAll("\u202f", "").split(" ")[0]);
  await until("all of them", async () => (await n()) === N);
  // A pull along the first axis keeps its upper half.
  const box = await canvas.boundingBox();
  await page.mouse.move(box.x + 60, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + 60, box.y + 200, { steps: 5 });
  await page.mouse.up();
  await until("a brush keeps some", async () => (await n()) > N * 0.2 && (await n()) < N * 0.7);
  assert.ok(await page.locator("#detail").isHidden(), "a pull opens nothing");
  await page.locator("summary", { hasText: "Axes" }).click();
  const before = await n();
  await page.getByLabel("Value of optimizer").selectOption("adam");
  await until("a field does the same", async () => (await n()) < before / 2);
  await accessible(page, "axes");
  await picture(page, "many-brushed");
  await page.getByRole("button", { name: "Show in the list" }).click();
  await page.locator(".trials-view").waitFor();
  assert.ok((await page.locator("table.trials tbody").textContent()).includes("adam"));
  await page.locator(".toolbar button", { hasText: "from the parameters" }).click();
  await page.locator("#views a", { hasText: "Parameters" }).click();
  await page.getByRole("button", { name: "Clear brushes" }).click();
  await page.getByLabel("Best").fill("5");
  await until("the best twentieth", async () => (await n()) > 0 && (await n()) < N / 15);
  await page.locator("#views a", { hasText: "Progress" }).click();
  await canvas.first().focus();
  await page.keyboard.press("Home");
  await until("the first result is named", async () => /Trial #\d+/.test(await tip.first().textContent()));
}

/** Light, dark and narrow: nothing is too wide, contrasts hold. */
async function appearances(browser, url) {
  const looks = [
    ["light", {}],
    ["dark", { colorScheme: "dark", reducedMotion: "reduce" }],
    ["narrow", { viewport: { width: 360, height: 740 }, hasTouch: true }],
  ];
  for (const [name, options] of looks) {
    const page = await open(browser, url, options);
    for (const [view, ready] of [
      ["trials", `${N}`],
      ["trials/t000005", "Step"],
      ["curves", " curves"],
      ["parallel", `${N}`],
      ["charts", "Durations"],
      ["experiment", "loguniform"],
    ]) {
      await page.goto(`${url}#/${view}`);
      const part = view.replace("/", "-");
      await until(`${part} is there`, async () => (await page.locator("#body").innerText()).replaceAll("\u202f", "").includes(ready));
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
      await fits(page, `${name} ${part}`);
      await accessible(page, `${name} ${part}`);
      await picture(page, `${name}-${part}`);
    }
    await wholesome(page);
    await page.context().close();
  }
}

/** A server that wants a token gets it from the address or from a dialog, and it does not stay in the address. */
async function token(browser) {
  const secret = "0123456789abcdef-and-more";
  const file = `${process.env.PICTURES}/token`;
  writeFileSync(file, `${secret}\n`, { mode: 0o600 });
  const { url } = await tsctl("web", directory, "--port", "0", "--token-file", file);
  const shows = (page) => until("the list", async () => (await page.locator("table.trials tbody tr[aria-rowindex]").count()) > 10);
  const page = await open(browser, `${url}#token=${secret}`);
  await shows(page);
  assert.ok(!page.url().includes("token"), page.url());
  await page.reload();
  await shows(page);
  await wholesome(page);

  const other = await open(browser, url);
  const dialog = other.getByRole("dialog", { name: "Token" });
  await dialog.getByLabel("Token").fill("wrong");
  await dialog.getByRole("button", { name: "Go on" }).click();
  await until("a wrong token is refused", async () => (await dialog.getByRole("alert").textContent()).includes("wrong"));
  await accessible(other, "the token's dialog");
  await dialog.getByLabel("Token").fill(secret);
  await dialog.getByRole("button", { name: "Go on" }).click();
  await shows(other);
  await wholesome(other);
}
