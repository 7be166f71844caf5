"use strict";
// Draws rate against distortion, a point for each run, with lines on which their sum, the negative ELBO, is constant.
// It uses what page.js, which follows in the page, defines.

// Returns about seven round numbers between two.
function roundSteps(low, high) {
  const rough = (high - low) / 6, unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(k => k * unit).find(s => s >= rough), first = Math.ceil(low / step);
  return Array.from({length: Math.max(0, Math.floor(high / step) - first + 1)}, (_, i) => (first + i) * step);
}

function drawPlane(section, root) {
  const element = root.querySelector(".plot");
  const runs = section.runs.filter(run => isShown(run) && run.rate !== null && run.distortion !== null);
  const range = (values, floor) => {
    const low = Math.min(...values), high = Math.max(...values), pad = 0.12 * (high - low) || 0.5;
    return values.length ? [Math.max(floor, low - pad), high + pad] : [0, 1];
  };
  // a rate of 0, where nothing is used, is always seen
  const xs = range([...runs.map(run => run.rate), ...(runs.length ? [0] : [])], -Infinity), ys = range(runs.map(run => run.distortion), -Infinity);
  const width = element.clientWidth - 75, height = element.clientHeight - 95;
  const places = namePositions(runs.map(run => ({
    x: (run.rate - xs[0]) / (xs[1] - xs[0]) * width, y: (ys[1] - run.distortion) / (ys[1] - ys[0]) * height,
    text: short(name(section, run), 26),
  })), width);
  const lines = roundSteps(xs[0] + ys[0], xs[1] + ys[1]).map(sum => {
    const left = Math.max(xs[0], sum - ys[1]), right = Math.min(xs[1], sum - ys[0]);
    return {
      type: "scatter", mode: "lines+text", x: [left, (left + right) / 2, right], y: [left, (left + right) / 2, right].map(x => sum - x), showlegend: false, hoverinfo: "skip",
      line: {color: "#8a919a", width: 1, dash: "dash"}, text: ["", `ELBO ${+(-sum).toPrecision(6)}`, ""], textposition: "top right", textfont: {size: 10, color: "#8a919a"},
    };
  }).filter(line => line.x[0] < line.x[2]);
  plot(element, [...lines, {
    type: "scatter", mode: "markers+text", name: "runs", x: runs.map(run => run.rate), y: runs.map(run => run.distortion), meta: runs.map(run => run.id),
    text: runs.map(run => short(name(section, run), 26)), textposition: places, textfont: {size: 11}, cliponaxis: false, showlegend: false,
    marker: {color: runs.map(colour), size: 10},
    customdata: runs.map(run => `${short(run.label)}<br>${short(run.name)}${run.beta ? `<br>beta ${literal(run.beta)}` : ""}`),
    hovertemplate: "rate %{x:.4g}, distortion %{y:.4g} nats<br>%{customdata}<extra></extra>",
  }], {
    x: {title: {text: "rate KL(q(z | x), p(z)), nats"}, range: xs, autorange: false, nticks: 6}, y: {title: {text: "distortion E[-log p(x | z)], nats"}, range: ys, autorange: false},
  });
}

