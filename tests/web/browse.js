// Open every page of a folder in headless Chromium and look for what a reader would stumble over.
//   node browse.js FOLDER CHROMIUM < pages.json
// Reads a JSON list of page paths; prints a JSON list of {page, view, fault}.
const fs = require("fs");
const http = require("http");
const path = require("path");
const { pathToFileURL } = require("url");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [folder, executablePath] = process.argv.slice(2);
const PAGES_AT_ONCE = 3;
// Each colour scheme and each width meets axe once; in one view the pages are opened without a server.
const VIEWS = [
  { name: "desktop light", width: 1440, scheme: "light", axe: true },
  { name: "desktop dark, from disk", width: 1440, scheme: "dark", disk: true },
  { name: "phone light", width: 360, scheme: "light", clicks: true },
  { name: "phone dark", width: 390, scheme: "dark", axe: true },
];
const TYPES = {
  ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png",
  ".woff": "font/woff", ".woff2": "font/woff2", ".json": "application/json", ".ico": "image/x-icon",
};

function serve() {
  const server = http.createServer((request, response) => {
    const name = decodeURIComponent(new URL(request.url, "http://x").pathname);
    fs.readFile(path.join(folder, name), (error, content) => {
      const type = TYPES[path.extname(name)] || "application/octet-stream";
      response.writeHead(error ? 404 : 200, { "content-type": type, "cache-control": "max-age=600" });
      response.end(content);
    });
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

// Runs in the page: formulas that did not become MathJax's output, wide pages, code without a copy button.
function inspect() {
  const faults = [];
  const short = (element) => element.textContent.trim().slice(0, 60);
  for (const element of document.querySelectorAll(".math")) {
    if (!element.querySelector("mjx-container")) faults.push(`formula not typeset: ${short(element)}`);
  }
  for (const element of document.querySelectorAll("mjx-merror, [data-mjx-error], mjx-mtext[style*='color: red']")) {
    faults.push(`formula with an error: ${short(element.closest("mjx-container"))} ${element.title || ""}`);
  }
  const text = document.createTreeWalker(document.querySelector("article") || document.body, NodeFilter.SHOW_TEXT);
  while (text.nextNode()) {
    const node = text.currentNode;
    if (/\\\(|\\\[|\$\$/.test(node.data) && !node.parentElement.closest("pre, code, script, style")) {
      faults.push(`raw TeX: ${node.data.trim().slice(0, 60)}`);
    }
  }
  const width = document.documentElement.scrollWidth;
  if (width > window.innerWidth) {
    const wide = [...document.querySelectorAll("article *")]
      .filter((e) => e.getBoundingClientRect().right > window.innerWidth + 1)
      .map((e) => `${e.tagName.toLowerCase()}.${e.className}`.slice(0, 50));
    faults.push(`the page is ${width} px wide in a window of ${window.innerWidth}: ${wide.slice(0, 3).join(", ")}`);
  }
  for (const code of document.querySelectorAll("article div.highlight pre")) {
    if (!code.parentElement.querySelector("button.copybtn")) faults.push(`code without a copy button: ${short(code)}`);
  }
  for (const image of document.querySelectorAll("article img")) {
    if (!image.complete || image.naturalWidth === 0) faults.push(`picture does not load: ${image.src}`);
  }
  return faults;
}

// Proofs and solutions are folded, and a click opens them.
async function unfold(page) {
  const faults = [];
  const hidden = (box) => box.evaluate((e) =>
    [...e.querySelectorAll(":scope > section, :scope > .sd-summary-content")]
      .every((part) => !part.checkVisibility({ visibilityProperty: true }) || part.offsetHeight === 0));
  const folds = await page.$$("article details.sd-dropdown, article div.solution");
  for (const fold of folds) {
    const name = (await fold.textContent()).trim().slice(0, 50).replace(/\s+/g, " ");
    if (!(await hidden(fold))) {
      faults.push(`not folded: ${name}`);
      continue;
    }
    await (await fold.$("summary, button.toggle-button, p.admonition-title:not(:has(button))")).click();
    for (let tries = 0; tries < 40 && (await hidden(fold)); tries++) await page.waitForTimeout(50);
    if (await hidden(fold)) faults.push(`does not open on a click: ${name}`);
  }
  return faults;
}

// A player's slider and button work from the keyboard, and each step changes the picture and its line.
async function play(page) {
  const faults = [];
  for (const player of await page.$$("article .player")) {
    const seen = () => player.evaluate((e) => e.querySelector("img").src.slice(-9999) + e.querySelector("p").textContent);
    const before = await seen();
    await (await player.$("input")).press("End");
    const last = await seen();
    await (await player.$("button")).press("Enter");
    const first = await seen();
    await page.waitForFunction(([e, text]) => e.querySelector("p").textContent !== text,
      [player, await player.$eval("p", (p) => p.textContent)], { timeout: 5000 }).catch(() => faults.push("a player does not play"));
    await (await player.$("button")).press("Enter");
    if (last === before) faults.push("a player's slider does nothing");
    if (first !== before) faults.push("a player does not start again from its end");
  }
  return faults;
}

async function visit(context, server, name, view) {
  const faults = [];
  const page = await context.newPage();
  page.setDefaultTimeout(120000); // a busy machine is slow, not wrong
  const origin = view.disk ? pathToFileURL(path.resolve(folder)).href : server;
  await page.route((url) => url.origin !== server && url.protocol.startsWith("http"), (route) => {
    faults.push(`asks another host: ${route.request().url()}`);
    return route.abort();
  });
  page.on("response", (response) => {
    if (response.status() >= 400) faults.push(`missing file: ${new URL(response.url()).pathname}`);
  });
  page.on("requestfailed", (request) => {
    if (request.url().startsWith("file:")) faults.push(`missing file: ${request.url().replace(origin, "")}`);
  });
  page.on("console", (message) => {
    const ours = !message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && ours) faults.push(`console: ${message.text().slice(0, 200)}`);
  });
  page.on("pageerror", (error) => faults.push(`script error: ${error.message}`));
  await page.goto(`${origin}/${name}`);
  await page.evaluate(() => window.MathJax?.startup?.promise);
  faults.push(...(await page.evaluate(inspect)));
  if (name.includes("?q=")) {
    await page.waitForSelector("#search-results li a", { timeout: 10000 }).catch(() => faults.push("the search finds nothing"));
    await page.waitForLoadState("networkidle");
  }
  if (view.clicks) faults.push(...(await unfold(page)), ...(await play(page)));
  if (view.axe) {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => {
      // Formulas have the colour of their text, and a few blocks all the colours of code: the rest takes axe long.
      document.querySelectorAll("mjx-container").forEach((formula) => formula.replaceChildren("formula"));
      [...document.querySelectorAll("article div.highlight pre")].slice(5).forEach((code) => code.replaceChildren("code"));
      return axe.run(document, { resultTypes: ["violations"] });
    });
    for (const violation of violations.filter((v) => ["serious", "critical"].includes(v.impact))) {
      faults.push(`${violation.id}: ${violation.nodes.map((n) => n.html.slice(0, 100)).slice(0, 3).join(" | ")}`);
    }
  }
  await page.close();
  return faults.map((fault) => ({ page: name, view: view.name, fault }));
}

(async () => {
  const server = await serve();
  const origin = `http://127.0.0.1:${server.address().port}`;
  const browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  const names = JSON.parse(fs.readFileSync(0, "utf8"));
  const jobs = [];
  for (const view of VIEWS) {
    const viewport = { width: view.width, height: view.width < 500 ? 800 : 1000 };
    const context = await browser.newContext({ viewport, colorScheme: view.scheme });
    jobs.push(...names.map((name) => [context, origin, name, view]));
  }
  const found = [];
  const worker = async () => {
    for (let job = jobs.shift(); job; job = jobs.shift()) found.push(...(await visit(...job)));
  };
  await Promise.all(Array.from({ length: PAGES_AT_ONCE }, worker));
  await browser.close();
  server.close();
  console.log(JSON.stringify(found));
})().catch((error) => {
  console.error(error.stack);
  process.exit(1);
});
