// Move three balls and collapse them one layer at a time (chapter "Approximation with growing width").
Live.define("fig-growing-web", {
  title: "Try it: collapse balls, one layer each",
  help: "Choose how many layers have acted. Drag the centres, or move them with the arrow keys (Shift: larger steps), and change " +
    "the radii. Seen from above, a caught point stands at the centre of its ball. A point in two balls goes with the " +
    "first: once lifted, no later layer catches it.",
}, (ui, start) => {
  const tones = ["highlight", "reduced", "measured"];
  const fresh = () => ({ layers: 1, balls: start.map(([a, b, r]) => ({ c: [a, b], r })) });
  const state = fresh();
  const side = Array.from({ length: 19 }, (_, i) => (i - 9) / 5);
  const web = side.flatMap((a) => side.map((b) => [a, b]));

  // The first ball of a point, or -1.
  const first = (p) => state.balls.findIndex(({ c, r }) => Math.hypot(p[0] - c[0], p[1] - c[1]) < r);

  const layers = Live.slider(ui.controls, {
    label: "Layers", min: 0, max: start.length, step: 1, text: (value) => `${value} of ${start.length}`,
    change: (value) => { state.layers = value; ui.update(); },
  });
  const plane = Live.plane(ui.panels, "A grid of points seen from above, and the centres of three balls", 2, ["x₁", "x₂"], [-1, 0, 1]);
  const column = Live.make("div", {}, ui.panels);
  const radii = tones.map((_, i) => Live.slider(column, {
    label: `Radius ${i + 1}`, min: 0.2, max: 1.2, step: 0.01, text: (value) => Live.number(value),
    change: (value) => { state.balls[i].r = value; ui.update(); },
  }));
  const dots = web.map(() => plane.dot("radial", 2.4));
  const dotted = tones.map((tone) => plane.curve(tone, 2, "stroke-dasharray: 2 5"));
  const solid = tones.map((tone) => plane.curve(tone, 2));
  const lifted = tones.map((tone) => plane.dot(tone, 0));
  const grips = tones.map((tone, i) => Live.handle(plane, {
    label: `Centre of ball ${i + 1}`, name: `${i + 1}`, tone, limit: 1.8, step: 0.05, at: () => state.balls[i].c,
    move: (c) => { state.balls[i].c = c; ui.update(); },
  }));

  const shown = () => {
    const owners = web.map(first);
    const caught = state.balls.map((_, i) => (i < state.layers ? owners.filter((o) => o === i).length : 0));
    const seen = web.map((p, j) => (owners[j] >= 0 && owners[j] < state.layers ? state.balls[owners[j]].c : p));
    return { ...state, caught, kept: web.length - caught.reduce((a, b) => a + b, 0), seen };
  };

  return {
    state: shown,
    reset: () => Object.assign(state, fresh()),
    says: () => {
      const { caught, kept } = shown();
      const parts = caught.slice(0, state.layers).map((count, i) => `at the centre of ball ${i + 1}: ${count}`);
      return `${state.layers} of ${start.length} layers have acted. Points of the grid ${[...parts, `in place: ${kept}`].join("; ")}.`;
    },
    draw: () => {
      const { caught } = shown();
      layers(state.layers);
      web.forEach((p, j) => {
        const owner = first(p);
        const gone = owner >= 0 && owner < state.layers;
        dots[j](p, gone ? 0 : 2.4, tones[owner]);
      });
      state.balls.forEach(({ c, r }, i) => {
        const circle = Array.from({ length: 91 }, (_, k) => (2 * Math.PI * k) / 90)
          .map((t) => [c[0] + r * Math.cos(t), c[1] + r * Math.sin(t)]);
        solid[i](i < state.layers ? circle : []);
        dotted[i](i < state.layers ? [] : circle);
        lifted[i](c, caught[i] ? 13 : 0);
        radii[i](r);
        grips[i]();
      });
    },
  };
});
