// Typeset formulas with the very MathJax that the book ships, without a browser.
//   node formulas.js MATHJAX_FOLDER < formulas.json
// Reads a JSON list of TeX strings; prints a JSON list, for each formula null or MathJax's complaint.
const Module = require("module");
const path = require("path");

// Node stands in for a page; the speech engine, which is not used, asks for these.
const load = Module._load;
const stub = { DOMImplementation: class { createDocument() { return {}; } }, install() {} };
Module._load = (name, ...rest) =>
  ["xmldom-sre", "wicked-good-xpath", "commander"].includes(name) ? stub : load(name, ...rest);

const mathjax = path.resolve(process.argv[2]);
global.MathJax = {
  loader: { paths: { mathjax }, load: ["adaptors/liteDOM"], require },
  startup: { typeset: false },
  options: { enableAssistiveMml: false },
  tex: {
    packages: { "[-]": ["noundefined", "noerrors"] },
    formatError: (_, error) => { throw error; },
  },
};
require(path.join(mathjax, "tex-chtml-full.js"));

MathJax.startup.promise.then(async () => {
  const formulas = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const complaints = [];
  for (const formula of formulas) {
    try {
      MathJax.texReset();
      await MathJax.tex2chtmlPromise(formula, { display: true });
      complaints.push(null);
    } catch (error) {
      complaints.push(String(error.message));
    }
  }
  console.log(JSON.stringify(complaints));
}).catch((error) => {
  console.error(String(error.stack).slice(0, 2000));
  process.exit(1);
});
