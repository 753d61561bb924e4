// The page of NNI's own package against our API: every view shows what it should, and no answer is an error.
import assert from "node:assert/strict";
import { open, picture, run, tsctl, until } from "./browser.mjs";

const [directory, version, total] = process.argv.slice(2);

await run(async (browser) => {
  const { url } = await tsctl("web", directory, "--nni-portal", "--port", "0");
  const page = await open(browser, url);
  const bad = [];
  const answers = new Set();
  page.on("response", async (answer) => {
    const { pathname } = new URL(answer.url());
    if (!pathname.includes("/api/")) return;
    answers.add(pathname.replace(/^.*\/nni/, ""));
    if (!answer.ok() || /^\{"error"/.test(await answer.text().catch(() => ""))) bad.push(`${answer.status()} ${pathname}`);
  });
  await page.reload();
  const shows = (...texts) =>
    until(`the page shows ${texts.join(", ")}`, async () => {
      const text = await page.locator("body").innerText();
      return texts.every((wanted) => text.includes(wanted));
    });
  await shows("many trials", "DONE", "Succeeded");
  await picture(page, `nni-${version}-overview`);
  await page.goto(new URL("detail", url).href);
  await shows("Trial No.", String(Number(total) - 1).slice(0, 1));
  await picture(page, `nni-${version}-detail`);
  await page.goto(new URL("experiment", url).href).catch(() => {});
  await picture(page, `nni-${version}-experiment`);
  assert.deepEqual(bad, [], "no answer is an error");
  for (const path of ["/experiment", "/trial-jobs", "/check-status", "/version"]) assert.ok(answers.has(path), `\`${path}\` was asked: ${[...answers]}`);
  assert.deepEqual(page.complaints, [], "nothing is wrong");
});
