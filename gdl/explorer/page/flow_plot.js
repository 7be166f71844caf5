// Pictures of points and densities on the line and in the plane.
import { colourOf } from "./theme.js";

// Returns a picture's scale: box = [centres..., half sides...] of what it shows, of a canvas with sides in CSS pixels.
// x(v), y(v) are pixels of numbers, at(px, py) the numbers of a pixel. On the line y has no meaning.
export function flowScale(box, width, height) {
  const d = box.length / 2, [cx, cy = 0] = box.slice(0, d), [hx, hy = 1] = box.slice(d);
  const left = 8, bottom = 22, w = width - left - bottom, h = height - left - bottom;
  return {
    left, bottom, w, h, top: left, low: [cx - hx, cy - hy], high: [cx + hx, cy + hy], side: 2 * hx,
    x: v => left + (v - cx + hx) / (2 * hx) * w,
    y: v => left + (cy + hy - v) / (2 * hy) * h,
    at: (px, py) => [cx - hx + (px - left) / w * 2 * hx, cy + hy - (py - left) / h * 2 * hy],
  };
}

// Returns about five round numbers between two.
export function flowTicks(low, high) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= rough), ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

const tickText = v => `${v}`.replace("-", "−");

// Draws the frame and the ticks of both axes; of the line only one axis has ticks.
export function drawFlowAxes(context, scale, d) {
  context.strokeStyle = colourOf("--line");
  context.fillStyle = colourOf("--muted");
  context.lineWidth = 1;
  context.font = "11px system-ui, sans-serif";
  context.strokeRect(scale.left - .5, scale.top - .5, scale.w + 1, scale.h + 1);
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const v of flowTicks(scale.low[0], scale.high[0])) {
    const x = scale.x(v);
    context.fillRect(x, scale.top + scale.h, 1, 4);
    if (x > scale.left + 6 && x < scale.left + scale.w - 6) context.fillText(tickText(v), x, scale.top + scale.h + 6);
  }
  if (d === 1) return;
  context.textAlign = "left";
  context.textBaseline = "middle";
  for (const v of flowTicks(scale.low[1], scale.high[1])) {
    const y = scale.y(v);
    context.fillRect(scale.left, y, 4, 1);
    if (y > scale.top + 6 && y < scale.top + scale.h - 6) context.fillText(tickText(v), scale.left + 7, y);
  }
}

// Returns the highest of densities, above 0.
export const highestOf = density => density.reduce((a, b) => b > a ? b : a, 1e-30);

// Returns a canvas with a density of size * size cells, rows from the top; what is dense is opaque.
export function densityImage(density, size) {
  const canvas = Object.assign(document.createElement("canvas"), {width: size, height: size});
  const context = canvas.getContext("2d"), pixels = context.createImageData(size, size);
  const ink = hexChannels(colourOf("--fore")), highest = highestOf(density);
  for (let i = 0; i < density.length; i++) {
    pixels.data.set(ink, 4 * i);
    pixels.data[4 * i + 3] = 150 * (density[i] / highest) ** .7;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

// Draws a density image of a box into a picture of another box, at most as visible as `alpha`.
export function drawDensity(context, image, box, scale, alpha) {
  const [cx, cy, hx, hy] = box;
  context.globalAlpha = alpha;
  context.imageSmoothingEnabled = true;
  context.drawImage(image, scale.x(cx - hx), scale.y(cy + hy), scale.x(cx + hx) - scale.x(cx - hx), scale.y(cy - hy) - scale.y(cy + hy));
  context.globalAlpha = 1;
}

// Draws densities at places on the line as a curve; `highest` is near the top of the picture.
export function drawCurve(context, places, density, scale, highest) {
  context.strokeStyle = colourOf("--fore");
  context.lineWidth = 2;
  context.beginPath();
  density.forEach((p, i) => context.lineTo(scale.x(places[i]), barTop(scale, p, highest)));
  context.stroke();
}

// Draws a histogram of points on the line, as a density.
export function drawHistogram(context, points, scale, highest, bins = 60) {
  const counts = new Float32Array(bins), width = scale.side / bins;
  for (const v of points) {
    const bin = Math.floor((v - scale.low[0]) / width);
    if (bin >= 0 && bin < bins) counts[bin]++;
  }
  context.fillStyle = colourOf("--line");
  counts.forEach((count, i) => {
    const top = barTop(scale, count / points.length / width, highest);
    context.fillRect(scale.left + i * scale.w / bins, top, scale.w / bins - .5, scale.top + scale.h - top);
  });
}

const barTop = (scale, p, highest) => scale.top + scale.h * (1 - .8 * Math.min(p / highest, 1.25));

// Draws points (n * D numbers), those that are not isNear(i) faintly; on the line they lie in a strip at the bottom.
export function drawFlowPoints(context, points, colours, isNear, scale, d) {
  for (let i = 0; i < colours.length; i++) {
    const x = scale.x(points[i * d]), y = d === 2 ? scale.y(points[i * d + 1]) : scale.top + scale.h - 3 - (i * 7 % 23);
    if (x < scale.left || x > scale.left + scale.w || y < scale.top || y > scale.top + scale.h) continue;
    context.fillStyle = colours[i];
    context.globalAlpha = isNear(i) ? 1 : .25;
    context.fillRect(x - 1.5, y - 1.5, 3, 3);
  }
  context.globalAlpha = 1;
}

// Draws the way of one point through all layers, `way` in pixels, and where it is now.
export function drawWay(context, way, now, scale, d) {
  context.save();
  context.beginPath();
  context.rect(scale.left, scale.top, scale.w, scale.h);
  context.clip();
  context.strokeStyle = colourOf("--accent");
  context.lineWidth = 1.5;
  context.beginPath();
  if (d === 2) way.forEach(([x, y]) => context.lineTo(x, y));
  else { context.moveTo(now[0], scale.top); context.lineTo(now[0], scale.top + scale.h); }
  context.stroke();
  if (d === 2) {
    for (const [radius, name] of [[6.5, "--back"], [5, "--accent"]]) {
      context.fillStyle = colourOf(name);
      context.beginPath();
      context.arc(...now, radius, 0, 2 * Math.PI);
      context.fill();
    }
  }
  context.restore();
}

// Returns the colour of latents (D numbers): the direction is the hue, grey in the middle; on the line from blue to red.
export function latentColour(z) {
  const radius = Math.hypot(...z), hue = z.length === 2 ? Math.atan2(z[1], z[0]) * 180 / Math.PI : 145 - 60 * Math.max(-2, Math.min(2, z[0]));
  return `oklch(.66 ${(z.length === 2 ? .2 * Math.min(1, radius / 1.2) : .17).toFixed(3)} ${hue.toFixed(0)})`;
}

// Returns [r, g, b] of a colour as #rrggbb.
const hexChannels = hex => [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
