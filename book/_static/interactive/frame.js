// Place the nodes of a two-layer network whose target is the cone |x| (chapter "Equiangular tight frames").
Live.define("fig-etf-opening", {
  title: "Try it: place the nodes yourself",
  help: "Drag the nodes, or move them with the arrow keys (Shift: larger steps). Then press \u201cLet go\u201d: gradient " +
    "descent moves them on. The loss is computed exactly. Its scale is logarithmic; the dashed line is a lower bound for this number of nodes.",
}, (ui, start) => {
  const shades = ["radial", "pointwise", "measured", "highlight", "reduced"];
  const places = (m) => m === start.length ? start.map((w) => [...w])
    : Array.from({ length: m }, (_, j) => [0.5 * Math.cos(1 + 2.4 * j), 0.5 * Math.sin(1 + 2.4 * j)]);
  const state = { nodes: places(start.length), paths: [] };
  const [STEPS, RATE, OVERLAP] = [400, 0.3, 2 / Math.PI]; // E |x| ReLU(<v, x>) in the plane, |v| = 1

  const length = (w) => Math.hypot(...w);
  const between = (u, w) => Math.abs(Math.atan2(u[0] * w[1] - u[1] * w[0], u[0] * w[0] + u[1] * w[1]));
  const kernel = (t) => Math.max(0, Math.sin(t) + (Math.PI - t) * Math.cos(t)) / (2 * Math.PI); // arc-cosine
  const loss = (nodes) => 2 + nodes.reduce((sum, u) => sum - 2 * OVERLAP * length(u) +
    nodes.reduce((row, w) => row + length(u) * length(w) * (u === w ? 0.5 : kernel(between(u, w))), 0), 0);
  const slope = (nodes, u) => {
    const size = length(u);
    if (size === 0) return [0, 0];
    const unit = u.map((z) => z / size);
    return [0, 1].map((i) => u[i] - 2 * OVERLAP * unit[i] + nodes.reduce((sum, w) => {
      const t = between(u, w);
      return u === w ? sum : sum + (length(w) * Math.sin(t) * unit[i] + (Math.PI - t) * w[i]) / Math.PI;
    }, 0));
  };
  // The least loss of m nodes: attained by the simplex for m = 2, else a bound, attained unless m is a power of two.
  const least = (m) => {
    const t = Math.PI / m;
    return m === 2 ? 2 - (2 * OVERLAP * OVERLAP) / 0.5 : 2 - ((8 * m) / Math.PI) * (1 - Math.cos(t)) / (t + Math.sin(t));
  };

  let frame = 0;
  const stop = () => {
    cancelAnimationFrame(frame);
    delete ui.root.dataset.running;
  };
  const letGo = () => {
    stop();
    state.paths = state.nodes.map((w) => [w]);
    let left = STEPS;
    const descend = (count) => {
      for (; count > 0 && left > 0; count--, left--) {
        const { nodes } = state;
        state.nodes = nodes.map((w) => {
          const g = slope(nodes, w);
          return [w[0] - RATE * g[0], w[1] - RATE * g[1]];
        });
        state.nodes.forEach((w, j) => state.paths[j].push(w));
      }
      ui.update();
      if (left === 0) stop();
      else frame = requestAnimationFrame(() => descend(4));
    };
    ui.root.dataset.running = "";
    descend(matchMedia("(prefers-reduced-motion: reduce)").matches ? STEPS : 1);
  };

  const place = (m) => {
    stop();
    Object.assign(state, { nodes: places(m), paths: [] });
    build(m);
  };
  const choose = Live.choice(ui.controls, "Nodes", ["2", "3", "4", "5"], (m) => { place(Number(m)); ui.update(); });
  Live.button(ui.controls, "Let go", letGo);
  const plane = Live.plane(ui.panels, "The nodes, arrows in the plane", 1.9, ["first coordinate", "second coordinate"], [-1, 0, 1]);
  const paths = shades.map(() => plane.curve("muted", 1.4));
  const arrows = shades.map((tone) => plane.curve(tone, 3));
  let grips = [];
  const build = (m) => {
    plane.svg.querySelectorAll(".handle").forEach((handle) => handle.remove());
    grips = Array.from({ length: m }, (_, j) => Live.handle(plane, {
      label: `Node ${j + 1}`, name: `${j + 1}`, tone: shades[j], limit: 1.7, step: 0.05, at: () => state.nodes[j],
      move: (w) => {
        stop();
        state.nodes = state.nodes.map((other, k) => (k === j ? w : other));
        state.paths = [];
        ui.update();
      },
    }));
  };
  const column = Live.make("div", {}, ui.panels);
  const chart = Live.panel(column, {
    label: "The network on the unit circle, and its target, the constant 1", x: [-Math.PI, Math.PI], y: [0, 3], height: 220,
    xname: "angle of x", yname: "network, |x| = 1", xticks: [[-Math.PI, "−π"], [0, "0"], [Math.PI, "π"]],
    yticks: [0, 1, 2, 3].map((t) => [t, `${t}`]),
  });
  chart.curve("muted", 5, "opacity: 0.6")([[-4, 1], [4, 1]]);
  const graph = chart.curve("radial");
  const gauge = Live.panel(column, {
    label: "The loss on a logarithmic scale, and its bound", x: [-4, 1.2], y: [0, 1], xname: "loss", height: 84, yticks: [],
    xticks: [[-4, "0.0001"], [-3, "0.001"], [-2, "0.01"], [-1, "0.1"], [0, "1"], [1, "10"]],
  });
  const bar = gauge.curve("radial", 10);
  const limit = gauge.curve("bound", 2.5, "stroke-dasharray: 5 4");
  build(start.length);

  return {
    state: () => ({ nodes: state.nodes, loss: loss(state.nodes), bound: least(state.nodes.length) }),
    reset: () => place(start.length),
    says: () => {
      const m = state.nodes.length;
      const angles = state.nodes.map((w) => (Math.atan2(w[1], w[0]) * 180) / Math.PI).sort((a, b) => a - b);
      const gaps = angles.map((a, i) => Live.number(i ? a - angles[i - 1] : a + 360 - angles[m - 1], 0));
      return `Loss ${Live.number(loss(state.nodes), 5)}. ${m === 4 ? "Bound, not attained for four nodes" : "Least possible"}: ` +
        `${Live.number(least(m), 5)}. Angles between neighbours: ${gaps.map((gap) => `${gap}°`).join(", ")}.`;
    },
    draw: () => {
      const { nodes } = state;
      choose(String(nodes.length));
      shades.forEach((_, j) => {
        arrows[j](nodes[j] ? [[0, 0], nodes[j]] : []);
        paths[j](state.paths[j] ?? []);
      });
      grips.forEach((grip) => grip());
      const turn = Array.from({ length: 181 }, (_, i) => -Math.PI + (i * Math.PI) / 90);
      graph(turn.map((t) => [t, nodes.reduce((sum, w) => sum + Math.max(0, w[0] * Math.cos(t) + w[1] * Math.sin(t)), 0)]));
      bar([[-4, 0.5], [Math.max(-4, Math.log10(loss(nodes))), 0.5]]);
      limit([[Math.log10(least(nodes.length)), 0], [Math.log10(least(nodes.length)), 1]]);
    },
  };
});
