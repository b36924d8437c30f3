// Open decks of slides from disk in headless Chromium and look for what a class would stumble over.
//   node slides.js FOLDER CHROMIUM < jobs.json
// Reads a JSON list of {deck, width, height, scheme, axe}, where axe lists the slides that axe-core looks at; prints a
// JSON list of {deck, view, fault}.
const fs = require("fs");
const path = require("path");
const { pathToFileURL } = require("url");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [folder, executablePath] = process.argv.slice(2);

// Runs in the page: lays out all slides at once, as they were before reveal.js hid them, and measures each.
function measure() {
  const faults = [];
  const short = (element) => element.textContent.trim().replace(/\s+/g, " ").slice(0, 60);
  document.querySelector("main").classList.remove("reveal");
  document.querySelector(".slides").removeAttribute("style");
  const slides = [...document.querySelectorAll(".slides .slide")];
  const phone = document.documentElement.classList.contains("phone");
  for (const section of document.querySelectorAll(".slides section")) {
    section.hidden = false;
    section.style.display = section.matches(".slide") ? "flex" : "block";
  }
  for (const slide of slides) {
    const fault = (what, element) => faults.push(`slide ${slide.id}: ${what}: ${short(element)}`);
    const box = slide.getBoundingClientRect();
    const style = getComputedStyle(slide);
    const right = box.right - parseFloat(style.paddingRight) + 1;
    const bottom = box.bottom - parseFloat(style.paddingBottom) + 1;
    if (!short(slide.querySelector("h1, h2"))) fault("no title", slide);
    if (!phone && parseFloat(style.fontSize) < 24) fault("small print", slide);
    const out = [...slide.querySelectorAll("h1, h2, .place, .body, .body *:not(pre *, mjx-container *, script)")]
      .find((e) => e.getBoundingClientRect().right > right || e.getBoundingClientRect().bottom > bottom);
    if (out) fault(`${out.tagName.toLowerCase()} overflows`, out);
    for (const math of slide.querySelectorAll(".math:not(aside *)")) {
      const formula = math.querySelector("mjx-container");
      if (!formula) fault("formula not typeset", math);
      else if (formula.querySelector("mjx-merror, mjx-mtext[style*='color: red']")) fault("formula error", math);
      else if (formula.scrollWidth > formula.clientWidth + 2 && formula.clientWidth) fault("formula scrolls", math);
    }
    for (const math of slide.querySelectorAll("aside .math:not(:has(math))")) fault("formula in the notes", math);
    for (const image of slide.querySelectorAll("img")) {
      if (!image.complete || image.naturalWidth === 0) fault(`picture does not load: ${image.src}`, slide);
      else if (Math.min(image.clientWidth, image.clientHeight) < 150) fault("tiny picture", slide);
    }
  }
  if (!slides.length) faults.push("no slides");
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids.filter((id, k) => ids.indexOf(id) !== k))) faults.push(`the id ${id} stands twice`);
  for (const link of document.querySelectorAll('a[href^="#/"]')) {
    const id = decodeURIComponent(link.getAttribute("href").slice(2));
    if (!link.closest(".slide-number") && !ids.includes(id)) faults.push(`no slide for the link ${id}`);
  }
  return faults;
}

async function visit(browser, { deck, width, height, scheme, axe: slides }) {
  const faults = [];
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme });
  const page = await context.newPage();
  page.on("request", (request) => {
    if (!/^(file|data|blob):/.test(request.url())) faults.push(`asks another host: ${request.url()}`);
  });
  page.on("requestfailed", (request) => faults.push(`missing file: ${path.basename(request.url())}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !/ERR_FILE_NOT_FOUND/.test(message.text())) {
      faults.push(`console: ${message.text().slice(0, 200)}`);
    }
  });
  page.on("pageerror", (error) => faults.push(`script error: ${error.message}`));
  await page.goto(pathToFileURL(path.join(folder, deck)).href);
  await page.waitForSelector("html.ready", { state: "attached", timeout: 60000 });
  if (slides.length) await page.evaluate(axe);
  for (const id of slides) {
    await page.evaluate((name) => { location.hash = `#/${name}`; }, id);
    await page.waitForFunction((name) => Reveal.getCurrentSlide().id === name, id);
    const { violations } = await page.evaluate(() => axe.run(
      { include: [Reveal.getCurrentSlide()], exclude: ["mjx-container"] },
      { preload: false, resultTypes: ["violations"] },
    ));
    for (const violation of violations.filter((v) => ["serious", "critical"].includes(v.impact))) {
      const where = violation.nodes.slice(0, 3).map((node) => node.html.slice(0, 100));
      faults.push(`slide ${id}: ${violation.id}: ${where.join(" | ")}`);
    }
  }
  faults.push(...(await page.evaluate(measure)));
  await context.close();
  return faults.map((fault) => ({ deck, view: `${width} px, ${scheme}`, fault }));
}

(async () => {
  const browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  const found = [];
  for (const job of JSON.parse(fs.readFileSync(0, "utf8"))) found.push(...(await visit(browser, job)));
  await browser.close();
  console.log(JSON.stringify(found));
})().catch((error) => {
  console.error(error.stack);
  process.exit(1);
});
