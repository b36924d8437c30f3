// What the interactive figures share. A figure's script calls Live.define(name, words, build); the page's data are in
// the element #live-data, see book/_ext/interactive.py.
const Live = (() => {
  const make = (tag, attributes = {}, parent = null) => {
    const inSvg = ["svg", "g", "path", "circle", "line", "text", "rect"].includes(tag);
    const element = inSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "text") element.textContent = value;
      else element.setAttribute(key, value);
    }
    parent?.append(element);
    return element;
  };

  // A number as the reader sees it, with a true minus sign and never "-0.00".
  const number = (value, digits = 2) => {
    const text = value.toFixed(digits);
    return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "\u2212");
  };
  const point = (p) => `(${p.map((z) => number(z)).join(", ")})`;
  const paint = (tone) => `stroke: var(--${tone})`;

  // A picture with axes. Everything drawn with curve() or dots() is cut at its frame; handles are not.
  function panel(parent, { label, x, y, xname = "", yname = "", xticks, yticks, height = 320, role = "img" }) {
    const [left, right, top, bottom, width] = [38, 10, 10, 36, 320];
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role, "aria-label": label }, parent);
    const [w, h] = [width - left - right, height - top - bottom];
    const X = (a) => left + ((a - x[0]) / (x[1] - x[0])) * w;
    const Y = (b) => top + h - ((b - y[0]) / (y[1] - y[0])) * h;
    const words = (text, at, anchor) => make("text", { x: at[0], y: at[1], "text-anchor": anchor, text }, svg);
    for (const [value, text] of xticks) {
      make("line", { x1: X(value), x2: X(value), y1: top, y2: top + h, class: "grid" }, svg);
      words(text, [X(value), top + h + 15], "middle");
    }
    for (const [value, text] of yticks) {
      make("line", { x1: left, x2: left + w, y1: Y(value), y2: Y(value), class: "grid" }, svg);
      words(text, [left - 5, Y(value) + 4], "end");
    }
    words(xname, [left + w / 2, height - 5], "middle");
    make("text", { transform: `translate(12 ${top + h / 2}) rotate(-90)`, "text-anchor": "middle", text: yname }, svg);
    const frame = make("svg", { x: left, y: top, width: w, height: h, viewBox: `${left} ${top} ${w} ${h}` }, svg);

    // Returns a function that draws lists of points; null lifts the pen.
    const curve = (tone, broad = 2, style = "") => {
      const path = make("path", { class: "curve", style: `${paint(tone)}; stroke-width: ${broad}; ${style}` }, frame);
      return (points) => {
        let pen = "M";
        const steps = points.map((p) => {
          const step = p ? `${pen}${X(p[0]).toFixed(2)} ${Y(p[1]).toFixed(2)}` : "";
          pen = p ? "L" : "M";
          return step;
        });
        path.setAttribute("d", steps.join(""));
      };
    };
    const dot = (tone, radius) => {
      const circle = make("circle", {}, frame);
      return (p, r = radius, now = tone) => {
        for (const [key, value] of [["cx", X(p[0])], ["cy", Y(p[1])], ["r", r]]) circle.setAttribute(key, value);
        circle.style.fill = `var(--${now})`;
      };
    };
    const arrow = (tone) => {
      const draw = curve(tone, 3);
      return (p) => {
        const [length, turn] = [Math.hypot(...p), Math.atan2(p[1], p[0])];
        const size = Math.min(0.35 * length, (12 / w) * (x[1] - x[0]));
        const barb = (angle) => [p[0] - size * Math.cos(turn + angle), p[1] - size * Math.sin(turn + angle)];
        draw([[0, 0], p, null, barb(0.5), p, barb(-0.5)]);
      };
    };
    return { svg, X, Y, curve, dot, arrow };
  }

  // A square window [-extent, extent]^2 of the plane, for handles.
  const plane = (parent, label, extent, names, ticks) =>
    panel(parent, {
      label, x: [-extent, extent], y: [-extent, extent], xname: names[0], yname: names[1], role: "group",
      xticks: ticks.map((t) => [t, number(t, 0)]), yticks: ticks.map((t) => [t, number(t, 0)]), height: 318,
    });

  // A point that mouse, finger and keys move within |p| <= limit. ``at`` reads the state, ``move`` writes it.
  function handle(view, { label, name, tone, limit, step, at, move }) {
    const knob = make("g", {
      class: "handle", tabindex: 0, role: "slider", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": limit,
    }, view.svg);
    make("circle", { r: 24, class: "reach" }, knob);
    make("circle", { r: 8, class: "knob", style: paint(tone) }, knob);
    make("text", { class: "name", x: 13, y: -11, text: name }, knob);
    const within = (p) => {
      const size = Math.hypot(...p);
      return size > limit ? p.map((z) => (z * limit) / size) : p;
    };
    let grip = null;
    const seen = (event) => {
      const inverse = view.svg.getScreenCTM().inverse();
      return [inverse.a * event.clientX + inverse.e, inverse.d * event.clientY + inverse.f];
    };
    knob.addEventListener("pointerdown", (event) => {
      const [a, b] = seen(event);
      grip = [view.X(at()[0]) - a, view.Y(at()[1]) - b];
      knob.setPointerCapture(event.pointerId);
      knob.focus();
      event.preventDefault();
    });
    knob.addEventListener("pointermove", (event) => {
      if (!grip) return;
      const [a, b] = seen(event).map((z, i) => z + grip[i]);
      const [ox, oy, ux, uy] = [view.X(0), view.Y(0), view.X(1), view.Y(1)];
      move(within([(a - ox) / (ux - ox), (b - oy) / (uy - oy)]));
    });
    for (const end of ["pointerup", "pointercancel"]) knob.addEventListener(end, () => (grip = null));
    knob.addEventListener("keydown", (event) => {
      const [a, b] = at();
      const d = event.shiftKey ? 5 * step : step;
      const size = Math.hypot(a, b);
      const keys = {
        ArrowLeft: () => [a - d, b], ArrowRight: () => [a + d, b], ArrowDown: () => [a, b - d], ArrowUp: () => [a, b + d],
        Home: () => [0, 0],
        End: () => (size ? [(a * limit) / size, (b * limit) / size] : [limit, 0]),
      };
      if (!keys[event.key]) return;
      move(within(keys[event.key]()));
      event.preventDefault();
    });
    return () => {
      const p = at();
      knob.setAttribute("transform", `translate(${view.X(p[0])} ${view.Y(p[1])})`);
      knob.setAttribute("aria-valuenow", number(Math.hypot(...p)).replace("\u2212", "-"));
      knob.setAttribute("aria-valuetext", `${point(p)}, length ${number(Math.hypot(...p))}`);
    };
  }

  const labelled = (parent, label) => {
    const box = make("label", { class: "control" }, parent);
    make("span", { text: label }, box);
    return box;
  };

  function choice(parent, label, options, change) {
    const select = make("select", { "aria-label": label }, labelled(parent, label));
    for (const option of options) make("option", { value: option, text: option }, select);
    select.addEventListener("change", () => change(select.value));
    return (value) => (select.value = value);
  }

  function slider(parent, { label, min, max, step, text, change }) {
    const box = labelled(parent, label);
    const input = make("input", { type: "range", min, max, step }, box);
    const shown = make("span", { class: "value", "aria-hidden": "true" }, box);
    input.addEventListener("input", () => change(Number(input.value)));
    input.addEventListener("keydown", (event) => {
      const sign = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (!sign || !event.shiftKey) return;
      input.value = Number(input.value) + 5 * sign * step;
      change(Number(input.value));
      event.preventDefault();
    });
    return (value) => {
      input.value = value;
      input.setAttribute("aria-valuetext", text(value));
      shown.textContent = text(value);
    };
  }

  const button = (parent, text, action) =>
    make("button", { type: "button", text }, parent).addEventListener("click", action);

  // Add the figure below its static picture. ``build(ui, start)`` draws it and returns its parts: ``state()`` with what
  // is shown in full precision, ``draw()``, ``reset()``, ``says()`` with the numbers in words.
  function define(name, { title, help }, build) {
    const { colors, start } = JSON.parse(document.getElementById("live-data").textContent);
    const picture = document.getElementById(name);
    const root = make("div", { class: "live", role: "group", "aria-labelledby": `live-${name}` });
    for (const [tone, color] of Object.entries(colors)) root.style.setProperty(`--tone-${tone}`, color);
    picture.after(root);
    make("p", { class: "live-title", id: `live-${name}`, text: title }, root);
    make("p", { class: "live-help", text: help }, root);
    const ui = { controls: make("div", { class: "controls" }, root), panels: make("div", { class: "panels" }, root), root };
    const words = make("p", { class: "numbers", "aria-live": "polite" }, root);
    ui.update = () => {
      figure.draw();
      words.textContent = figure.says();
      root.dataset.state = JSON.stringify(figure.state());
    };
    const figure = build(ui, start[name]);
    button(ui.controls, "Reset", () => (figure.reset(), ui.update()));
    ui.update();
  }

  return { make, number, point, panel, plane, handle, choice, slider, button, define };
})();
