// The picture of a map: points or thumbnails on a layer that is drawn once, and what moves above it.
import { colourOf } from "./theme.js";
import { colourOfClass, isRing } from "./palette.js";

// Returns the window [left, bottom, width, height] of the plane that shows all places, without a few that are far off.
export function windowOf(places, prior) {
  const range = k => {
    const values = Float32Array.from({length: places.length / 2}, (_, i) => places[2 * i + k]).sort(), n = values.length;
    if (!n) return [-3, 3];
    const at = share => values[Math.round(share * (n - 1))], spread = at(.98) - at(.02) || 1;
    return [Math.max(at(0), at(.02) - spread / 5), Math.min(at(1), at(.98) + spread / 5)];
  };
  const [x, y] = [range(0), range(1)].map(([low, high], k) => {
    const [a, b] = prior ? [Math.min(low, prior[k] - 2.5), Math.max(high, prior[k] + 2.5)] : [low, high], pad = .06 * (b - a) || 1;
    return [a - pad, b + pad];
  });
  return [x[0], y[0], x[1] - x[0], y[1] - y[0]];
}

// Returns the maps between places and pixels of a canvas of width x height. Both axes have one scale, unless a third would be empty.
export function scaleOf([left, bottom, wide, high], width, height) {
  let x = width / wide, y = height / high;
  if (Math.max(x, y) < 1.5 * Math.min(x, y)) x = y = Math.min(x, y);
  const right = (width - x * wide) / 2, up = (height - y * high) / 2;
  return {
    x, y,
    toPixel: (u, v) => [right + (u - left) * x, height - up - (v - bottom) * y],
    toPlace: (px, py) => [left + (px - right) / x, bottom + (height - up - py) / y],
  };
}

// Draws the layer of points: `points` are {places, labels, sheet or null, isShown(i), isFaint(i)}, `prior` the place of a N(0, I) or null.
export function drawPoints(context, scale, width, height, points, prior) {
  context.clearRect(0, 0, width, height);
  if (prior) drawPrior(context, scale, prior, points.flat, height);
  const count = points.places.length / 2, side = Math.min(30, Math.max(15, 1.25 * Math.sqrt(width * height / Math.max(count, 1))));
  for (let i = 0; i < count; i++) {
    if (!points.isShown(i)) continue;
    const [x, y] = scale.toPixel(points.places[2 * i], points.places[2 * i + 1]);
    context.globalAlpha = points.isFaint(i) ? .08 : points.sheet ? .95 : .8;
    if (!points.sheet?.draw(context, i, x, y, side)) drawPoint(context, x, y, points.labels ? points.labels[i] : null);
  }
  context.globalAlpha = 1;
  if (prior) namePrior(context, scale, prior, points.flat);
}

function drawPoint(context, x, y, label) {
  context.fillStyle = context.strokeStyle = label === null ? colourOf("--accent") : colourOfClass(label);
  context.lineWidth = 1.5;
  context.beginPath();
  context.arc(x, y, label !== null && isRing(label) ? 3 : 3.2, 0, 2 * Math.PI);
  label !== null && isRing(label) ? context.stroke() : context.fill();
}

// One, two and three standard deviations of the prior: circles, or of a single latent lines.
function drawPrior(context, scale, [u, v], flat, height) {
  const [x, y] = scale.toPixel(u, v);
  Object.assign(context, {strokeStyle: colourOf("--muted"), lineWidth: 1, globalAlpha: .6});
  context.setLineDash([4, 4]);
  for (const r of [1, 2, 3]) {
    context.beginPath();
    if (flat) for (const s of [-1, 1]) { context.moveTo(x + s * r * scale.x, 0); context.lineTo(x + s * r * scale.x, height); }
    else context.ellipse(x, y, r * scale.x, r * scale.y, 0, 0, 2 * Math.PI);
    context.stroke();
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
}

// The names of these lines, above the points.
function namePrior(context, scale, [u, v], flat) {
  const [x, y] = scale.toPixel(u, v), along = flat ? 1 : Math.SQRT1_2;
  Object.assign(context, {fillStyle: colourOf("--fore"), strokeStyle: colourOf("--soft"), lineWidth: 4, font: "11px system-ui, sans-serif", textAlign: "center", lineJoin: "round"});
  for (const r of [1, 2, 3]) {
    const at = [x + along * r * scale.x, flat ? 14 : y + along * r * scale.y + 4];
    context.strokeText(`${r}σ`, ...at);
    context.fillText(`${r}σ`, ...at);
  }
}

// Draws a mark with a halo: a cross where `text` is empty, else a disc with the letter.
export function drawMark(context, [x, y], text) {
  const fore = colourOf("--fore"), back = colourOf("--back");
  context.beginPath();
  if (!text) {
    context.moveTo(x - 11, y); context.lineTo(x + 11, y); context.moveTo(x, y - 11); context.lineTo(x, y + 11);
    for (const [colour, width] of [[back, 5], [fore, 2]]) { context.strokeStyle = colour; context.lineWidth = width; context.stroke(); }
    return;
  }
  context.arc(x, y, 9, 0, 2 * Math.PI);
  Object.assign(context, {fillStyle: fore, strokeStyle: back, lineWidth: 2, textAlign: "center", textBaseline: "middle", font: "600 11px system-ui, sans-serif"});
  context.fill();
  context.stroke();
  context.fillStyle = back;
  context.fillText(text, x, y + .5);
  context.textBaseline = "alphabetic";
}

// Draws an arrow at the border towards a pixel that lies beyond it.
function drawBeyond(context, [x, y], width, height) {
  const within = (v, most) => Math.min(Math.max(v, 12), most - 12), [a, b] = [within(x, width), within(y, height)];
  context.save();
  context.translate(a, b);
  context.rotate(Math.atan2(y - b, x - a));
  context.beginPath();
  context.moveTo(9, 0); context.lineTo(-6, -7); context.lineTo(-6, 7); context.closePath();
  Object.assign(context, {fillStyle: colourOf("--fore"), strokeStyle: colourOf("--back"), lineWidth: 2});
  context.stroke();
  context.fill();
  context.restore();
}

// Draws the mark of the current latents: a cross, or at the border an arrow towards them.
export function drawPlace(context, [x, y], width, height) {
  if (x < 0 || y < 0 || x > width || y > height) drawBeyond(context, [x, y], width, height);
  else drawMark(context, [x, y], "");
}

// Draws a line through pixels [[x, y], ...].
export function drawPath(context, pixels) {
  context.beginPath();
  pixels.forEach(([x, y], i) => i ? context.lineTo(x, y) : context.moveTo(x, y));
  for (const [colour, width] of [[colourOf("--back"), 4], [colourOf("--fore"), 1.5]]) { context.strokeStyle = colour; context.lineWidth = width; context.stroke(); }
}
