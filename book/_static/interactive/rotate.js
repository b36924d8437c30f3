// Turn the hidden layer of a network with two hidden units (chapter "Radial neural networks").
Live.define("fig-rotated-plane", {
  title: "Try it: rotate the hidden layer",
  help: "Choose the angle (arrow keys; Shift: larger steps). Broad lines: before; thin lines: after. The radial graph (blue) does not " +
    "move. With the same weights and pointwise ReLU (orange) it does.",
}, (ui, start) => {
  const { w1, b1, w2, b2 } = start;
  const activations = {
    radial: (z) => {
      const square = z[0] * z[0] + z[1] * z[1];
      return z.map((a) => (a * Math.sqrt(square)) / (1 + square)); // h(r) / r = r / (1 + r^2)
    },
    pointwise: (z) => z.map((a) => Math.max(0, a)),
  };
  const inputs = Array.from({ length: 161 }, (_, i) => (i - 80) / 40);
  const first = { degrees: 60 };
  const state = { ...first };

  const turn = (degrees) => {
    const [c, s] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
    const act = (p) => [c * p[0] - s * p[1], s * p[0] + c * p[1]];
    return { w1: act(w1), b1: act(b1), w2: act(w2) }; // w2 Q^T, as a row, is Q w2
  };
  const run = (weights, activation) => {
    const hidden = inputs.map((t) => activation(weights.w1.map((w, i) => w * t + weights.b1[i])));
    return { hidden, values: hidden.map((y) => weights.w2[0] * y[0] + weights.w2[1] * y[1] + b2) };
  };

  const angle = Live.slider(ui.controls, {
    label: "Angle", min: -180, max: 180, step: 1, text: (value) => `${Live.number(value, 0)}°`,
    change: (value) => { state.degrees = value; ui.update(); },
  });
  const plane = Live.panel(ui.panels, {
    label: "The hidden vectors of both networks, before and after the rotation", x: [-3, 3], y: [-3, 3],
    xname: "first hidden unit", yname: "second hidden unit", height: 318,
    xticks: [-2, 0, 2].map((t) => [t, Live.number(t, 0)]), yticks: [-2, 0, 2].map((t) => [t, Live.number(t, 0)]),
  });
  const chart = Live.panel(ui.panels, {
    label: "The functions of both networks, before and after the rotation", x: [-2, 2], y: [-5, 5],
    xname: "input t", yname: "network", height: 318,
    xticks: [-2, 0, 2].map((t) => [t, Live.number(t, 0)]), yticks: [-4, -2, 0, 2, 4].map((t) => [t, Live.number(t, 0)]),
  });
  const kinds = Object.entries(activations).map(([tone, activation]) => {
    const before = run(start, activation);
    plane.curve(tone, 7, "opacity: 0.4")(before.hidden);
    chart.curve(tone, 7, "opacity: 0.4")(inputs.map((t, i) => [t, before.values[i]]));
    return { tone, activation, before: before.values, hidden: plane.curve(tone), graph: chart.curve(tone) };
  });

  const shown = () => {
    const weights = turn(state.degrees);
    const values = Object.fromEntries(kinds.map(({ tone, activation }) => [tone, run(weights, activation).values]));
    const moved = kinds.map(({ tone, before }) => [tone, Math.max(...before.map((y, i) => Math.abs(y - values[tone][i])))]);
    return { ...state, weights, inputs, values, moved: Object.fromEntries(moved) };
  };

  return {
    state: shown,
    reset: () => Object.assign(state, first),
    says: () => {
      const { weights, moved } = shown();
      const still = moved.radial < 1e-12 ? "0 up to rounding" : Live.number(moved.radial);
      return `W₁ = ${Live.point(weights.w1)}, b₁ = ${Live.point(weights.b1)}, W₂ = ${Live.point(weights.w2)}. ` +
        `Largest change of the graph: radial ${still}, pointwise ${Live.number(moved.pointwise)}.`;
    },
    draw: () => {
      angle(state.degrees);
      const weights = turn(state.degrees);
      for (const { activation, hidden, graph } of kinds) {
        const now = run(weights, activation);
        hidden(now.hidden);
        graph(inputs.map((t, i) => [t, now.values[i]]));
      }
    },
  };
});
