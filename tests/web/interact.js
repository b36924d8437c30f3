// Drive the interactive figures in headless Chromium, from disk.
//   node interact.js FOLDER CHROMIUM < scenarios.json
// Reads a JSON list of {page, figure, view, steps}; a view has width, scheme, touch, still, scripts. Prints for each
// the states of the figure, first and after each step, its words, what a step saw, and faults.
const fs = require("fs");
const path = require("path");
const { pathToFileURL } = require("url");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [folder, executablePath] = process.argv.slice(2);

async function middle(element) {
  const box = await element.boundingBox();
  return [box.x + box.width / 2, box.y + box.height / 2];
}

async function swipe(page, [x, y], [dx, dy]) {
  const finger = await page.context().newCDPSession(page);
  const send = (type, t) => finger.send("Input.dispatchTouchEvent", {
    type, touchPoints: type === "touchEnd" ? [] : [{ x: x + dx * t, y: y + dy * t }],
  });
  await send("touchStart", 0);
  for (let i = 1; i <= 10; i++) await send("touchMove", i / 10);
  await send("touchEnd", 1);
  await finger.detach();
}

const STEPS = {
  press: async ({ page, slider }, name, ...keys) => {
    await slider(name).focus();
    for (const key of keys) await page.keyboard.press(key);
  },
  drag: async ({ page, slider }, name, dx, dy) => {
    await slider(name).scrollIntoViewIfNeeded();
    const [x, y] = await middle(slider(name).locator(".knob"));
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x + dx, y + dy, { steps: 5 });
    await page.mouse.up();
  },
  point: async ({ slider }, name, share) => {
    const box = await slider(name).boundingBox();
    await slider(name).click({ position: { x: share * box.width, y: box.height / 2 } });
  },
  finger: async ({ page, slider }, name, dx, dy) => {
    await slider(name).scrollIntoViewIfNeeded();
    await swipe(page, await middle(slider(name).locator(".knob")), [dx, dy]);
  },
  tap: async ({ page, slider }, name, share) => {
    await slider(name).scrollIntoViewIfNeeded();
    const box = await slider(name).boundingBox();
    await page.touchscreen.tap(box.x + share * box.width, box.y + box.height / 2);
  },
  choose: ({ root }, name, value) => root.getByRole("combobox", { name, exact: true }).selectOption(value),
  click: ({ root }, name) => root.getByRole("button", { name }).click(),
  settle: ({ page, figure }) => page.waitForSelector(`#${figure} + .live:not([data-running])`),
  scroll: async ({ page, root }) => { // a finger on the picture, away from every handle
    await root.locator(".panels > svg").first().scrollIntoViewIfNeeded();
    const box = await root.locator(".panels > svg").first().boundingBox();
    const before = await page.evaluate(() => window.scrollY);
    await swipe(page, [box.x + box.width - 15, Math.min(box.y + box.height - 60, 600)], [0, -150]);
    await page.waitForTimeout(300);
    return (await page.evaluate(() => window.scrollY)) - before;
  },
  sizes: ({ root }) => root.locator(".handle, button, select, input").evaluateAll((parts) =>
    parts.map((part) => part.getBoundingClientRect()).map(({ width, height }) => [width, height])),
  spoken: ({ slider }, name) => slider(name).getAttribute("aria-valuetext"),
  seen: async ({ page, root, figure }, media) => {
    if (media) await page.emulateMedia({ media });
    const picture = page.locator(`#${figure} img`);
    return { picture: await picture.isVisible(), live: (await root.count()) > 0 && (await root.isVisible()) };
  },
  axe: async ({ page, figure }) => {
    await page.evaluate(axe);
    return page.evaluate(async (name) => {
      const live = document.querySelector(`#${name} + .live`);
      const { violations } = await axe.run(live, { resultTypes: ["violations"], preload: false });
      return violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 100)).join(" | ")}`);
    }, figure);
  },
};

async function play(browser, { page: name, figure, view, steps }) {
  const context = await browser.newContext({
    viewport: { width: view.width, height: 800 }, colorScheme: view.scheme || "light", hasTouch: Boolean(view.touch),
    isMobile: Boolean(view.touch), reducedMotion: view.still ? "reduce" : "no-preference",
    javaScriptEnabled: view.scripts !== false,
  });
  context.setDefaultTimeout(120000); // a busy machine is slow, and that is no fault
  const page = await context.newPage();
  const faults = [];
  await page.route((url) => url.protocol !== "file:" && url.protocol !== "data:", (route) => {
    faults.push(`asks another host: ${route.request().url()}`);
    return route.abort();
  });
  // Formulas take most of a page's time, and are no part of the figures.
  await page.route("**/mathjax/*.js", (route) => route.fulfill({ contentType: "text/javascript", body: "" }));
  page.on("console", (message) => {
    // The theme preloads its fonts; from disk, browsers refuse that, and read the fonts when they need them.
    const font = /\.woff2$/.test(message.location().url) || message.text().startsWith("Access to font");
    if (message.type() === "error" && !font) faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`script error: ${error.message}`));
  await page.goto(pathToFileURL(path.join(folder, name)).href);
  const root = page.locator(`#${figure} + .live`);
  const tools = { page, root, figure, slider: (label) => root.getByRole("slider", { name: label, exact: true }) };
  const result = { states: [], words: [], saw: [], faults };
  const look = async () => {
    if (view.scripts === false) return;
    const [state, words] = await root.evaluate((e) => [e.dataset.state, e.querySelector(".numbers").textContent]);
    result.states.push(JSON.parse(state));
    result.words.push(words);
  };
  await look();
  for (const [step, ...details] of steps) {
    result.saw.push((await STEPS[step](tools, ...details)) ?? null);
    await look();
  }
  await context.close();
  return result;
}

(async () => {
  const browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  const results = [];
  for (const scenario of JSON.parse(fs.readFileSync(0, "utf8"))) results.push(await play(browser, scenario));
  await browser.close();
  console.log(JSON.stringify(results));
})().catch((error) => {
  console.error(error.stack);
  process.exit(1);
});
