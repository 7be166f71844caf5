// The picture of section flow: density, points and the way of one point, at any time between two layers.
import { densityImage, drawAxes, drawCurve, drawDensity, drawHistogram, drawPoints, drawWay, latentColour, plotScale } from "./flow_plot.js";

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
  const scale = () => plotScale(box(), canvas.clientWidth, canvas.clientHeight);

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
    const points = state.points && mixed(k => state.points.places[k], lerp), highest = mixed(peak, (a, b, t) => a + t * (b - a));
    if (points && d === 1) drawHistogram(context, points, now, highest);
    if (state.shown) mixed(k => k, (a, b, t) => { under(a, 1 - t, now, highest); under(b, t, now, highest); });
    if (points) drawPoints(context, points, (state.byClass && state.points.byClass) || state.points.byLatent, now, d);
    context.restore();
    drawAxes(context, now, d);
    if (state.way) {
      const at = h => [now.x(h[0]), d === 2 ? now.y(h[1]) : 0];
      drawWay(context, state.way.places.map(at), at(mixed(k => state.way.places[k], lerp)), now, d);
    }
  }

  const peak = k => state.densities.get(k)?.highest ?? state.densities.values().next().value?.highest ?? 1;

  function under(k, alpha, now, highest) {
    const known = state.densities.get(k);
    if (!known || alpha === 0) return;
    if (d === 2) drawDensity(context, known.image, boxes[k], now, alpha);
    else drawCurve(context, known.values, boxes[k], now, highest, alpha);
  }

  // Returns the middles of size^D cells of what is shown after layer k, rows from the top.
  function grid(k, size) {
    const half = boxes[k].at(-1), centre = boxes[k].slice(0, -1), side = i => half * ((2 * i + 1) / size - 1);
    const points = new Float32Array(size ** d * d);
    for (let i = 0; i < size ** d; i++) {
      points[i * d] = centre[0] + side(i % size);
      if (d === 2) points[i * d + 1] = centre[1] - side(Math.floor(i / size));
    }
    return points;
  }

  // Returns what is kept of a density on a grid.
  const density = (values, size) => ({values, highest: values.reduce((a, b) => Math.max(a, b), 1e-30), image: d === 2 ? densityImage(values, size) : null});

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
  return {draw, grid, density, pointAt, wheel};
}
