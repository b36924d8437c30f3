// Drag a vector and see where an activation takes it (chapter "Rescaling activations").
Live.define("fig-planes", {
  title: "Try it: rescale a vector",
  help: "Drag the end of v, or move it with the arrow keys (Shift: larger steps; Home: length 0; End: greatest length). " +
    "A rescaling leaves ρ(v) on the line of v; pointwise ReLU need not.",
}, (ui) => {
  const profiles = {
    "Step-ReLU": (r) => (r >= 1 ? r : 0),
    "squashing": (r) => (r * r) / (1 + r * r),
    "shifted ReLU (b = 1)": (r) => Math.max(0, r - 1),
    "radial sigmoid (b = 1)": (r) => 1 / (1 + Math.exp(1 - r)),
    "identity": (r) => r,
    "tanh": Math.tanh,
  };
  const pointwise = "pointwise ReLU";
  const start = { name: "squashing", v: [-1.5, 1] };
  const state = { ...start };
  const rho = (v) => {
    if (state.name === pointwise) return v.map((z) => Math.max(0, z));
    const r = Math.hypot(...v);
    return r === 0 ? [0, 0] : v.map((z) => (profiles[state.name](r) * z) / r);
  };

  const choose = Live.choice(ui.controls, "Activation", [...Object.keys(profiles), pointwise], (name) => {
    state.name = name;
    ui.update();
  });
  const plane = Live.plane(ui.panels, "The plane: the image of circles and rays, a vector v and its image", 2.8,
    ["first coordinate", "second coordinate"], [-2, -1, 0, 1, 2]);
  const rays = plane.curve("muted", 0.6);
  const rings = plane.curve("web", 0.9, "opacity: 0.75");
  const line = plane.curve("bound", 1, "stroke-dasharray: 4 4");
  const vector = plane.curve("bound", 3);
  const image = plane.arrow("web");
  const chart = Live.panel(ui.panels, {
    label: "The profile h and the scaling factor λ against the length r", x: [0, 2.8], y: [0, 2.8], xname: "length r",
    xticks: [0, 1, 2].map((t) => [t, `${t}`]), yticks: [0, 1, 2].map((t) => [t, `${t}`]), height: 318,
    yname: "h(r) (solid), λ(r) (dashed)",
  });
  const height = chart.curve("radial");
  const factor = chart.curve("bound", 1.6, "stroke-dasharray: 6 4");
  const here = [chart.dot("radial", 6), chart.dot("bound", 5)];
  const grip = Live.handle(plane, {
    label: "The vector v", name: "v", tone: "bound", limit: 2.5, step: 0.05, at: () => state.v,
    move: (v) => { state.v = v; ui.update(); },
  });

  const unit = (i, n) => [Math.cos((2 * Math.PI * i) / n), Math.sin((2 * Math.PI * i) / n)];
  const times = (r, u) => u.map((z) => r * z);
  const steps = Array.from({ length: 281 }, (_, i) => (i + 0.001) / 100); // none at the jump of Step-ReLU
  const lift = (points) => points.flatMap((p, i) =>
    state.name === "Step-ReLU" && steps[i] > 1 && steps[i - 1] < 1 ? [null, p] : [p]);

  const shown = () => {
    const { name, v } = state;
    const r = Math.hypot(...v);
    const image = rho(v);
    const h = name === pointwise ? null : r === 0 ? 0 : profiles[name](r);
    const turned = r && Math.hypot(...image)
      ? Math.abs(Math.atan2(v[0] * image[1] - v[1] * image[0], v[0] * image[0] + v[1] * image[1])) : 0;
    return { name, v, r, image, h, factor: h === null || r === 0 ? null : h / r, degrees: (turned * 180) / Math.PI };
  };

  return {
    state: shown,
    reset: () => Object.assign(state, start),
    says: () => {
      const { r, v, image, h, factor, degrees } = shown();
      const n = Live.number;
      if (h === null) {
        return `v = ${Live.point(v)}, |v| = ${n(r)}. ReLU(v) = ${Live.point(image)}, at an angle of ${n(degrees, 0)}° to v. ` +
          "ReLU looks at the coordinates, so it has no profile.";
      }
      const ratio = factor === null ? "" : `, λ(|v|) = ${n(factor)}`;
      return `v = ${Live.point(v)}, |v| = ${n(r)}. h(|v|) = ${n(h)}${ratio}. ρ(v) = ${Live.point(image)}.`;
    },
    draw: () => {
      const { v, r, image: w, h, factor: ratio } = shown();
      const radial = h !== null;
      ui.root.style.setProperty("--web", `var(--${radial ? "radial" : "pointwise"})`);
      choose(state.name);
      rings(Array.from({ length: 10 }, (_, k) => (k + 1) / 4 + 1e-9).flatMap((s) =>
        [...Array.from({ length: 97 }, (_, i) => rho(times(s, unit(i, 96)))), null]));
      rays(Array.from({ length: 24 }, (_, i) => unit(i, 24)).flatMap((u) =>
        [1e-9, 1 - 1e-9, null, 1 + 1e-9, 2.5, null].map((s) => s && rho(times(s, u)))));
      line(r ? [times(-9 / r, v), times(9 / r, v)] : []);
      vector([[0, 0], v]);
      image(w);
      height(radial ? lift(steps.map((s) => [s, profiles[state.name](s)])) : []);
      factor(radial ? lift(steps.map((s) => [s, profiles[state.name](s) / s])) : []);
      chart.svg.style.display = radial ? "" : "none";
      here[0]([r, h ?? 0], radial ? 6 : 0);
      here[1]([r, ratio ?? 0], ratio === null ? 0 : 5);
      grip();
    },
  };
});
