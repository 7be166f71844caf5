// The picture of section flow: density, points and the way of one point, at any time between two layers.
import { densityImage, drawFlowAxes, drawCurve, drawDensity, drawHistogram, drawFlowPoints, drawWay, flowScale, highestOf, latentColour } from "./flow_plot.js";

// Returns what draws a canvas; `state` is what it shows: {time, points, way, densities, shown, byClass}.
export function openFlowPicture(canvas, content, d, state) {
  const context = canvas.getContext("2d"), {boxes} = content, last = boxes.length - 1;
  let asked = false;

  // Returns a mean of what is before and after the layer in sight.
  const mixed = (f, mix) => {
    const k = Math.min(Math.floor(state.time), last - 1), t = state.time - k;
    return mix(f(k), f(k + 1), t);
  };
  const lerp = (a, b, t) => a.map((v, i) => v + t * (b[i] - v));
  const box = () => mixed(k => boxes[k], lerp);
  const scale = () => flowScale(box(), canvas.clientWidth, canvas.clientHeight);

  // Draws once before the next frame, however often it is called.
  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; paintAll(); });
  }

  function paintAll() {
    const ratio = window.devicePixelRatio, width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (!width) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
    const now = scale();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    context.save();
    context.beginPath();
    context.rect(now.left, now.top, now.w, now.h);
    context.clip();
    const points = state.points && mixed(k => state.points.places[k], lerp);
    if (d === 1) paintLine(points, now); else if (state.shown) mixed(k => k, (a, b, t) => { under(a, 1 - t, now); under(b, t, now); });
    if (points) drawFlowPoints(context, points, (state.byClass && state.points.byClass) || state.points.byLatent, state.points.isNear, now, d);
    context.restore();
    drawFlowAxes(context, now, d);
    if (state.way) {
      const at = (h, s) => [s.x(h[0]), d === 2 ? s.y(h[1]) : 0];
      const way = state.way.places.map((h, k) => at(h, flowScale(boxes[k], canvas.clientWidth, canvas.clientHeight)));
      drawWay(context, way, at(mixed(k => state.way.places[k], lerp), now), now, d);
    }
  }

  function under(k, alpha, now) {
    const known = state.densities.get(k);
    if (known && alpha > 0) drawDensity(context, known.image, boxes[k], now, alpha);
  }

  // On the line the density moves with the points: between h and g(h) it is p(h) / (1 - t + t g'(h)), as g is monotone.
  function paintLine(points, now) {
    const k = Math.min(Math.floor(state.time), last - 1), t = state.time - k, known = state.densities.get(t === 1 ? last : k);
    const places = known && (t === 1 ? known.points : lerp(known.points, known.next, t));
    const density = known && (t === 1 ? known.values : known.values.map((p, i) => p / (1 - t + t * known.slopes[i])));
    const highest = density ? highestOf(density) : 1;
    if (points) drawHistogram(context, points, now, highest);
    if (density && state.shown) drawCurve(context, places, density, now, highest);
  }

  // Returns the middles of size^D cells of what is shown after layer k, rows from the top.
  function grid(k, size) {
    const centre = boxes[k].slice(0, d), half = boxes[k].slice(d), side = i => (2 * i + 1) / size - 1;
    const points = new Float32Array(size ** d * d);
    for (let i = 0; i < size ** d; i++) {
      points[i * d] = centre[0] + half[0] * side(i % size);
      if (d === 2) points[i * d + 1] = centre[1] - half[1] * side(Math.floor(i / size));
    }
    return points;
  }

  // Returns what is kept of log-densities on a grid: in the plane an image, on the line also where the layer takes it.
  function density({points, logP, next, logDet}, size) {
    const values = logP.map(v => Math.exp(v) || 0);  // 0 where the flow gives no number
    return d === 2 ? colour({values, size}) : {values, points, next, slopes: logDet?.map(Math.exp)};
  }

  // Paints a density in the colours that the page has now, and returns it.
  function colour(density) {
    if (d === 2) density.image = densityImage(density.values, density.size);
    return density;
  }

  // Returns the point, D numbers, under the pointer.
  function pointAt(event) {
    const {left, top} = canvas.getBoundingClientRect();
    return scale().at(event.clientX - left, event.clientY - top).slice(0, d);
  }

  // Paints the colours of the latents from -2 to 2 on a small canvas.
  function wheel(small) {
    const brush = small.getContext("2d"), size = small.width;
    small.setAttribute("aria-label", "Colours of the latents from −2 to 2");
    brush.clearRect(0, 0, size, size);
    for (let y = 0; y < size; y += 3) {
      for (let x = 0; x < size; x += 3) {
        const z = [4 * x / size - 2, 2 - 4 * y / size];
        if (d === 2 ? Math.hypot(...z) > 2 : Math.abs(z[1]) > .8) continue;
        brush.fillStyle = latentColour(z.slice(0, d));
        brush.fillRect(x, y, 3, 3);
      }
    }
  }

  new ResizeObserver(draw).observe(canvas);
  return {draw, grid, density, colour, pointAt, wheel};
}
