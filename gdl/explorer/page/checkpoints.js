// Section checkpoints: see gdl/explorer/sections/checkpoints.py for its content.
import { drawPoints, scaleOf, windowOf } from "./map_view.js";
import { openLegend } from "./legend.js";
import { readTensors } from "./weights.js";

const MS_AN_EPOCH = 500;

// Returns the places [u, v, u, v, ...] of all points at a time t between epochs, of positions {shape: [E, N, 2], data}.
export function placesAt({shape: [epochs, points], data}, t) {
  const k = Math.min(Math.max(Math.floor(t), 0), epochs - 1), next = Math.min(k + 1, epochs - 1), size = 2 * points;
  const part = t - k, ease = part * part * (3 - 2 * part);  // slow at both ends
  const [a, b] = [k, next].map(e => data.subarray(e * size, (e + 1) * size));
  return a.map((v, i) => v + ease * (b[i] - v));
}

// Opens the section: `root` its element, `content` as of checkpoints.py, `app` as of app.js.
export function openCheckpoints(root, content, app) {
  const [play, slider, label] = ["button", "input", "output"].map(tag => root.querySelector(`.checkpoints_tools ${tag}`));
  const canvas = root.querySelector("canvas"), last = content.epochs.length - 1;
  const positions = content.positions && readTensors(content.positions)[0], window_ = positions && windowOf(positions.data, content.prior ? [0, 0] : null);
  let frame = null, time = last;  // time is between epochs while playing

  const legend = openLegend(root.querySelector(".map_legend"), {labels: content.labels ?? null, names: content.names ?? []}, draw);

  function draw() {
    const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!positions || !width || !height) return;
    const wide = Math.round(width * ratio), high = Math.round(height * ratio);
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, {width: wide, height: high});
    const context = canvas.getContext("2d"), scale = scaleOf(window_, width, height);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const points = {places: placesAt(positions, time), labels: content.labels, sheet: null, ...legend};
    drawPoints(context, scale, width, height, points, content.prior ? [0, 0] : null);
  }

  function stop() {
    cancelAnimationFrame(frame);
    frame = null;
    play.textContent = "play";
  }

  function show(k) {
    slider.value = k;
    label.textContent = content.epochs[k];
    slider.setAttribute("aria-valuetext", content.epochs[k]);
  }

  play.addEventListener("click", () => {
    if (frame !== null) return stop();
    const from = app.checkpoint < last ? app.checkpoint : 0, began = performance.now(), still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (from !== app.checkpoint) app.useCheckpoint(from);
    play.textContent = "stop";
    const step = now => {
      const t = Math.min(last, from + Math.max(0, now - began) / MS_AN_EPOCH), k = Math.floor(t);
      time = still ? k : t;
      if (k !== app.checkpoint) app.useCheckpoint(k);
      draw();
      t < last ? frame = requestAnimationFrame(step) : stop();
    };
    frame = requestAnimationFrame(step);
  });
  slider.addEventListener("input", () => { stop(); app.useCheckpoint(Number(slider.value)); });
  app.on("checkpoint", () => {
    show(app.checkpoint);
    if (frame !== null) return;
    time = app.checkpoint;
    draw();
  });
  app.on("theme", () => { legend.colour(); draw(); });
  new ResizeObserver(draw).observe(canvas);

  slider.max = last;
  root.querySelector(".checkpoints_hint").textContent = hintOfCheckpoints(content, positions, app.content.shape.length === 3 ? "test images" : "test points");
  root.querySelector(".checkpoints_body").hidden = !positions;
  show(app.checkpoint);
}

// Returns what the slider and the points are; `examples` names the data.
function hintOfCheckpoints({axes, left_out: left}, positions, examples) {
  const points = positions ? ` The points are ${positions.shape[1]} ${examples}, by ${axes}.` : "";
  const room = left.length ? ` Epochs ${left.join(", ")} have no room on this page.` : "";
  return `The latent space forms: the whole page computes with the weights of the chosen epoch.${points}${room}`;
}
