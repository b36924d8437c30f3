// Print one HTML page with headless Chromium, as often as it is asked to.
//   node pdf.js PAGE.html OUT.pdf CHROMIUM
// Says what it measured in one line of JSON; then, for each line of JSON that it reads ({anchor: page number}), fills
// in the page numbers, prints, and answers with a line.
const path = require("path");
const readline = require("readline");
const { pathToFileURL } = require("url");
const { chromium } = require(path.join(__dirname, "../tests/web/node_modules/playwright-core"));

const [html, out, executablePath] = process.argv.slice(2);
const COLUMN = 605; // px: A4 less the margins of pdf.css

// Runs in the page: makes what is wider than its column smaller. Says how small, and what is still too wide.
function fit() {
  const column = document.body.getBoundingClientRect().right;
  const todo = [];
  const wide = (element, width, room) => {
    if (width > room) todo.push([element, (0.99 * room) / width]);
  };
  const room = (element) => {
    const style = getComputedStyle(element);
    return element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  };
  for (const formula of document.querySelectorAll("mjx-container")) {
    const width = formula.firstElementChild.getBoundingClientRect().width;
    const block = formula.hasAttribute("display") ? formula : formula.parentElement.closest("p, li, td, th, dt, dd, div");
    wide(formula, width, room(block));
  }
  for (const table of document.querySelectorAll("table")) wide(table, table.getBoundingClientRect().width, room(table.parentElement));
  for (const [element, scale] of todo) {
    const size = parseFloat(getComputedStyle(element).fontSize) / parseFloat(getComputedStyle(element.parentElement).fontSize);
    element.style.fontSize = `${100 * size * scale}%`;
  }
  const cut = [...document.body.querySelectorAll("*")]
    .filter((element) => element.getBoundingClientRect().right > column + 1)
    .map((element) => `${element.tagName.toLowerCase()}: ${element.textContent.trim().slice(0, 60)}`);
  return { scales: todo.map(([, scale]) => scale), cut: cut.slice(0, 5) };
}

// Runs in the page: for those who listen to the PDF, before each formula a dot that nobody sees, which says its TeX.
// (Chromium does not tag MathJax's signs; hiding them keeps its tree of tags small.)
function name() {
  const dot = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
  for (const { math, typesetRoot } of MathJax.startup.document.math) {
    const image = new Image(1, 1);
    image.src = dot;
    image.alt = math.trim();
    image.style = "margin: 0; position: absolute";
    typesetRoot.firstElementChild.setAttribute("aria-hidden", "true");
    typesetRoot.append(image);
  }
}

function fill(pages) {
  for (const place of document.querySelectorAll("[data-page-of]")) {
    place.textContent = pages[place.dataset.pageOf] || "";
  }
}

async function main() {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const page = await browser.newPage({ viewport: { width: COLUMN, height: 860 } });
  page.setDefaultTimeout(0);
  const outside = [];
  await page.route((url) => url.protocol.startsWith("http"), (route) => {
    outside.push(route.request().url());
    return route.abort();
  });
  await page.emulateMedia({ media: "print", colorScheme: "light" });
  await page.goto(pathToFileURL(path.resolve(html)).href);
  await page.evaluate(() => Promise.all([MathJax.startup.promise, document.fonts.ready]).then(() => 0));
  const lost = await page.$$eval("img", (images) => images.filter((i) => !i.naturalWidth).map((i) => i.src.slice(0, 200)));
  const dangling = await page.$$eval('a[href^="#"]', (links) =>
    links.map((a) => a.getAttribute("href").slice(1)).filter((id) => !document.getElementById(id)));
  const errors = await page.$$eval("mjx-merror, [data-mjx-error]", (found) => found.map((e) => e.textContent));
  await page.evaluate(name);
  console.log(JSON.stringify({ ...(await page.evaluate(fit)), outside, lost, dangling, errors }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    await page.evaluate(fill, JSON.parse(line));
    await page.pdf({ path: out, preferCSSPageSize: true, printBackground: true, outline: true, tagged: true });
    console.log("printed");
  }
  await browser.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
