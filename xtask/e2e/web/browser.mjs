// A browser that reaches nothing but the page under test, and what every page is checked for.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// What is installed lies elsewhere than these files.
const modules = createRequire(`${process.env.MODULES}/`);
const { chromium } = modules("playwright-core");
const AXE = modules.resolve("axe-core/axe.min.js");

const children = new Set();

/** Longest wait for anything in milliseconds. */
export const PATIENCE = Number(process.env.PATIENCE ?? 30_000);

/** Runs `test(browser)`, and says `ok` where nothing was thrown. */
export async function run(test) {
  const browser = await chromium.launch({ executablePath: process.env.BROWSER_PROGRAM, args: ["--no-sandbox"] });
  try {
    await test(browser);
    console.log("ok");
  } catch (error) {
    const pages = browser.contexts().flatMap((context) => context.pages());
    await Promise.all(pages.map((page, i) => picture(page, `failure-${i}`)));
    throw error;
  } finally {
    await browser.close();
    for (const child of children) child.kill("SIGTERM");
  }
}

/**
 * A page of its own context. Requests to other hosts are refused and remembered, and so is whatever the page complains about.
 * `first(argument)` runs in the page before its own code.
 */
export async function open(browser, url, options = {}, first = null, argument = null) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  if (first !== null) await page.addInitScript(first, argument);
  const own = new URL(url).host;
  page.strangers = [];
  page.complaints = [];
  await context.route("**", (route) => {
    if (new URL(route.request().url()).host === own) return route.continue();
    page.strangers.push(route.request().url());
    return route.abort();
  });
  page.on("pageerror", (error) => page.complaints.push(String(error.stack ?? error)));
  page.on("console", (message) => {
    // Answers that are missing while the manager is gone are complained about by the browser itself.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) page.complaints.push(message.text());
  });
  await page.goto(url);
  return page;
}

/** What holds at the end of everything. */
export async function wholesome(page) {
  assert.deepEqual(page.strangers, [], "nothing is asked of other hosts");
  assert.deepEqual(page.complaints, [], "nothing is wrong");
  assert.equal(await page.evaluate(() => window.injected), undefined, "no text became markup");
  const images = await page.locator("main img, #detail img, header img, dialog img").count();
  assert.equal(images, 0, "no text became an image");
}

/** What accessibility rules say about the page as it is now. */
export async function accessible(page, what) {
  // By the debugger, which no policy of the page keeps out.
  await page.evaluate((await import("node:fs")).readFileSync(AXE, "utf8"));
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join("; ")}`);
  assert.deepEqual(found, [], what);
}

/** Nothing stands out of the window to the side. */
export async function fits(page, what) {
  const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(beyond <= 0, `${what}: ${beyond} pixels too wide`);
}

/** Waits until `look()` gives something true. */
export async function until(what, look) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < deadline, `${PATIENCE} ms were not enough until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Keeps a picture, for people. */
export const picture = (page, name) => page.screenshot({ path: `${process.env.PICTURES}/${name}.png` });

/** Starts `tsctl`, and gives it once it has said where it serves: `{url, said(), child, ended}`. */
export async function tsctl(...words) {
  console.log(`  $ tsctl ${words.join(" ")}`);
  const child = spawn(process.env.TSCTL, words, { stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  let said = "";
  const ended = new Promise((resolve) => child.on("close", (code) => (children.delete(child), resolve(code))));
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on("line", (line) => (said += `${line}\n`));
  let url = null;
  await until("`tsctl` serves", () => {
    url = /https?:\/\/[^\s"]+/.exec(said)?.[0] ?? null;
    assert.ok(url !== null || child.exitCode === null, `\`tsctl\` ended: ${said}`);
    return url;
  });
  return { url: `${url.replace(/\/$/, "")}/`, said: () => said, child, ended };
}

/** The API's own word on a path, to compare the page with. */
export async function api(url, path) {
  const answer = await fetch(new URL(`api/v2/${path}`, url));
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
}
