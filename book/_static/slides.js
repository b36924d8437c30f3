// The decks of slides: typeset, cut what is too long for one slide, then start reveal.js.
(() => {
  "use strict";
  const root = document.documentElement;
  const paper = /[?&](print-pdf|view=print)/.test(location.search);
  const phone = !paper && !/receiver/.test(location.search) && innerWidth < 700 && innerWidth < innerHeight;
  const upright = { width: 480, height: Math.round((480 * innerHeight) / innerWidth) };
  const size = phone ? upright : { width: 1280, height: 720 };

  // Light or dark: as the reader chose in the book, otherwise as the system says; paper is light.
  const mode = localStorage.getItem("mode");
  const dark = mode === "dark" || (mode !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = dark && !paper ? "dark" : "light";
  root.classList.toggle("phone", phone);
  root.style.setProperty("--slide-width", `${size.width}px`);
  root.style.setProperty("--slide-height", `${size.height}px`);

  // What does not go to the next slide without what is before it: a formula, or what follows a colon.
  const glued = (before, block) =>
    before.tagName === "P" && (block.matches(".math") || /:\s*$/.test(before.textContent));

  // Move what lies below the limit from one container to another; what is on top of a slide stays there.
  function moveTail(from, to, limit, onTop) {
    const blocks = [...from.children];
    let k = blocks.findIndex((block) => block.getBoundingClientRect().bottom > limit);
    if (k < 0) return;
    if (blocks[k].matches("ul, ol, li, .idea") && blocks[k].children.length > (blocks[k].tagName === "LI" ? 1 : 0)) {
      const rest = to.appendChild(blocks[k].cloneNode(false));
      moveTail(blocks[k], rest, limit, onTop && k === 0);
      if (blocks[k].children.length === 0) blocks[k].remove();
      else if (rest.tagName === "LI") rest.classList.add("continued");
      if (rest.children.length === 0) rest.remove();
      k += 1;
    } else {
      const first = k;
      while (k > 0 && glued(blocks[k - 1], blocks[k])) k -= 1;
      if (k === 0 && onTop) k = Math.max(first, 1);
    }
    to.append(...blocks.slice(k).filter((block) => block.isConnected));
  }

  // Cut a slide into as many as its blocks need, of about the same height.
  function cut(slide) {
    const body = slide.querySelector(".body");
    const box = body.getBoundingClientRect();
    const room = slide.getBoundingClientRect().bottom - parseFloat(getComputedStyle(slide).paddingBottom) - box.top;
    const parts = Math.ceil((body.scrollHeight - 1) / room);
    const limit = box.top + Math.min(room, Math.max(room * 0.6, (body.scrollHeight / parts) * 1.12));
    const next = slide.cloneNode(false);
    for (const part of slide.children) if (part.matches(".place, h2")) next.append(part.cloneNode(true));
    const tail = next.appendChild(body.cloneNode(false));
    moveTail(body, tail, limit, true);
    return tail.children.length ? next : null;
  }

  const bottom = (element) => element?.getBoundingClientRect().bottom ?? 0;
  const overflows = (body) =>
    body.scrollHeight > body.clientHeight || bottom(body.lastElementChild) > bottom(body) + 0.5;

  function cutAll() {
    for (const slide of document.querySelectorAll(".slide")) {
      let last = slide;
      for (let k = 2; overflows(last.querySelector(".body")); k += 1) {
        const next = cut(last);
        if (!next) break;
        next.id = `${slide.id}.${k}`;
        next.querySelector("h2").insertAdjacentHTML("beforeend", ` <span class="part-of">(${k})</span>`);
        if (k > 2) next.querySelector(".part-of").remove();
        if (last.parentElement.matches(".slides")) {
          const stack = document.createElement("section");
          last.replaceWith(stack);
          stack.append(last);
        }
        last.after(next);
        last = next;
      }
    }
  }

  // A formula or a table that does not fit gets smaller, within reason.
  function narrow() {
    const wide = [];
    for (const formula of document.querySelectorAll(".slide mjx-container")) {
      const { width } = formula.firstElementChild.getBoundingClientRect();
      const inline = formula.closest("li, td, .body, .idea, h2").clientWidth - 20; // with room for a comma
      wide.push([formula, (formula.hasAttribute("display") ? formula.clientWidth : inline) / width]);
    }
    for (const table of document.querySelectorAll(".slide table")) {
      const body = table.closest(".body");
      wide.push([table, Math.min(body.clientWidth / table.scrollWidth, body.clientHeight / (table.scrollHeight + 4))]);
    }
    for (const [element, ratio] of wide.filter((pair) => pair[1] < 1)) {
      element.style.fontSize = `${Math.max(ratio * 0.99, 0.6) * parseFloat(element.style.fontSize || 100)}%`;
    }
  }

  async function start() {
    await MathJax.startup.promise;
    for (const math of document.querySelectorAll("aside.notes .math")) {
      const tex = math.textContent.trim();
      math.innerHTML = MathJax.tex2mml(tex.slice(2, -2), { display: tex.startsWith("\\[") });
    }
    await MathJax.typesetPromise([...document.querySelectorAll(".slide .math")]);
    await document.fonts.ready;
    for (const image of document.querySelectorAll("figure img")) {
      await image.decode();
      if (!phone && image.naturalWidth < 1.45 * image.naturalHeight) image.parentElement.classList.add("tall");
    }
    narrow();
    cutAll();
    document.querySelector("main").classList.add("reveal");
    await Reveal.initialize({
      ...size,
      margin: 0,
      center: false,
      display: "flex",
      hash: true,
      slideNumber: "c/t",
      transition: "none",
      controlsTutorial: false,
      scrollActivationWidth: null,
      // A code box that the Tab key reached scrolls with the arrow keys.
      keyboardCondition: () => !document.activeElement.matches("pre:focus-visible"),
      plugins: [RevealNotes],
    });
    Reveal.addKeyBinding({ keyCode: 68, key: "D", description: "Dark or light" }, () => {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    });
    matchMedia("(orientation: portrait)").addEventListener("change", () => location.reload());
    root.classList.add("ready");
  }

  window.MathJax = { options: { enableMenu: false, processHtmlClass: "math" }, startup: { typeset: false } };
  addEventListener("DOMContentLoaded", () => {
    if (window.Reveal) start();
  });
})();
