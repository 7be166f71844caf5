// Section latent_map: see gdl/explorer/sections/latent_map.py for its content.
import { nearest, nearestCode, ofComponents, ofNeighbours, ofTwoLatents, readCodes } from "./projections.js";
import { drawMark, drawPath, drawPlace, drawPoints, scaleOf, windowOf } from "./map_view.js";
import { openBetween } from "./map_between.js";
import { openLegend } from "./legend.js";
import { readSheet } from "./sheet.js";

// Opens the section: `root` its element, `content` as of latent_map.py, `app` as of app.js.
export async function openLatentMap(root, content, app) {
  const codes = readCodes(content), canvas = root.querySelector(".map_canvas"), layer = document.createElement("canvas");
  const state = {style: "points", place: null, sheet: null, scale: null, projection: null};
  const selects = [...root.querySelectorAll("select")], near = root.querySelector(".map_near canvas");
  const checked = name => root.querySelector(`input[name=${name}]:checked`).value;
  let drawn = true;  // whether the canvas shows what there is

  const legend = openLegend(root.querySelector(".map_legend"), content, () => redraw(true));
  const between = openBetween(root, app, () => ({place: state.place, z: app.z, kind: checked("map_kind")}), () => redraw());

  function project() {
    const kind = checked("map_kind"), [i, j] = codes.size > 2 ? selects.map(s => Number(s.value)) : [0, 1];
    state.projection = {
      pair: () => ofTwoLatents(codes, app, i, j), pca: () => ofComponents(codes), tsne: () => ofNeighbours(codes, codes.tensors[3].data),
    }[kind]();
    const origin = content.prior ? state.projection.onto(new Float32Array(codes.size)) : null;
    state.prior = origin;
    state.window = windowOf(state.projection.places, origin);
    state.place = state.projection.onto(app.z);
    root.querySelector(".map_axes").hidden = kind !== "pair" || codes.size <= 2;
    root.querySelector(".map_hint").textContent = hintOf(content, codes, kind);
    showNear();
    redraw(true);
  }

  // Draws again at the next frame; `all` the layer of points too.
  function redraw(all = false) {
    state.stale ||= all;
    if (!drawn) return;
    drawn = false;
    requestAnimationFrame(() => { drawn = true; draw(); });
  }

  function draw() {
    const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !height) return;
    for (const c of [canvas, layer]) {
      if (c.width === Math.round(width * ratio) && c.height === Math.round(height * ratio)) continue;
      Object.assign(c, {width: Math.round(width * ratio), height: Math.round(height * ratio)});
      state.stale = true;
    }
    const [above, below] = [canvas, layer].map(c => c.getContext("2d")), {projection, place} = state;
    state.scale = scaleOf(state.window, width, height);
    if (state.stale) {
      below.setTransform(ratio, 0, 0, ratio, 0, 0);
      const sheet = state.style === "thumbnails" ? state.sheet : null;
      drawPoints(below, state.scale, width, height, {places: projection.places, labels: content.labels, sheet, flat: codes.size === 1, ...legend}, state.prior);
      state.stale = false;
    }
    above.setTransform(1, 0, 0, 1, 0, 0);
    above.clearRect(0, 0, canvas.width, canvas.height);
    above.drawImage(layer, 0, 0);
    above.setTransform(ratio, 0, 0, ratio, 0, 0);
    const kind = checked("map_kind"), pixel = at => state.scale.toPixel(...at), onto = z => projection.onto(z);
    const path = between.path(25).map(onto);
    if (path.length && path[0]) drawPath(above, path.map(pixel));
    for (const [name, end] of between.ends()) {
      const at = onto(end.z) ?? (end.kind === kind ? end.place : null);
      if (at) drawMark(above, pixel(at), name);
    }
    if (place) drawPlace(above, pixel(place), width, height);
  }

  // Moves to a place of the plane and decodes what lies there.
  function moveTo(u, v) {
    state.place = [u, v];
    app.set({z: state.projection.back(u, v)}, "latent_map");
    showNear();
    redraw();
  }

  // Shows a window of the plane around the current place; `factor` 2 shows half as much.
  function zoom(factor) {
    const [left, bottom, wide, high] = state.window, [u, v] = state.place ?? middle(state.window);
    const inside = u >= left && u <= left + wide && v >= bottom && v <= bottom + high, [a, b] = inside ? [u, v] : middle(state.window);
    state.window = [a - (a - left) / factor, b - (b - bottom) / factor, wide / factor, high / factor];
    redraw(true);
  }

  // Brings the window to a place that the arrow keys have reached outside of it.
  function follow() {
    const [left, bottom, wide, high] = state.window, [u, v] = state.place;
    const shift = (x, low, size) => x < low ? x - low - size / 4 : x > low + size ? x - low - .75 * size : 0;
    state.window = [left + shift(u, left, wide), bottom + shift(v, bottom, high), wide, high];
    redraw(true);
  }

  function showNear() {
    // codes that have no place in the map, as in t-SNE, have neighbours all the same
    const i = state.place ? nearest(state.projection.places, ...state.place, 1, n => state.sheet?.has(n) ?? true)[0]?.[0] : nearestCode(codes, app.z);
    const known = i !== undefined && i !== null, name = content.labels ? content.names[content.labels[i]] ?? "class unknown" : `number ${i + 1}`;
    root.querySelector(".map_class").textContent = known ? name : "none";
    near.setAttribute("aria-label", known ? `Nearest test image: ${name}` : "No test image");
    if (known && state.sheet?.has(i)) state.sheet.copy(near, i);
  }

  // Returns the test image within 8 pixels of a place, or null: a click there means that image.
  function imageAt([u, v]) {
    const found = nearest(state.projection.places, u, v, 1, legend.isShown)[0];
    if (!found) return null;
    const [[x, y], [a, b]] = [state.scale.toPixel(u, v), state.scale.toPixel(...state.projection.places.subarray(2 * found[0], 2 * found[0] + 2))];
    return Math.hypot(x - a, y - b) <= 8 ? found[0] : null;
  }

  function setEnd(name) {
    const image = state.place && imageAt(state.place), place = state.place;
    if (image === null) return between.set(name, {z: app.z.slice(), place});
    const at = [...state.projection.places.subarray(2 * image, 2 * image + 2)];
    return between.set(name, {z: codes.at(image), place: at});
  }

  openPointer(canvas, (x, y) => state.scale && moveTo(...state.scale.toPlace(x, y)), shift => setEnd(shift ? "B" : between.next()));
  canvas.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? .1 : .02, [, , wide, high] = state.window, [u, v] = state.place ?? middle(state.window);
    const moved = {ArrowLeft: [-wide, 0], ArrowRight: [wide, 0], ArrowUp: [0, high], ArrowDown: [0, -high]}[event.key];
    if (moved) {
      moveTo(u + step * moved[0], v + step * moved[1]);
      follow();
    } else if (/^[-+=]$/.test(event.key)) zoom(event.key === "-" ? .5 : 2);
    else if (/^[ab]$/i.test(event.key)) setEnd(event.key.toUpperCase());
    else return;
    event.preventDefault();
  });
  for (const button of root.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => zoom(Number(button.dataset.zoom)));
  for (const button of root.querySelectorAll("[data-end]")) button.addEventListener("click", () => setEnd(button.dataset.end));
  root.addEventListener("change", event => {
    if (event.target.name === "map_style") { state.style = event.target.value; redraw(true); }
    else if (event.target.name === "map_kind" || event.target.tagName === "SELECT") project();
  });

  app.on("code", from => {
    if (from === "latent_map") return;
    state.place = state.projection.onto(app.z);
    showNear();
    redraw();
  });
  app.on("checkpoint", () => {
    const other = app.checkpoint !== (app.content.weights?.length ?? 1) - 1;
    root.querySelector(".map_status").textContent = other ? "The points are the codes of the best weights; the picture is now of others." : "";
  });
  app.on("theme", () => { state.sheet?.tint(); legend.colour(); redraw(true); });

  openChoices(root, content, codes.size);
  project();
  new ResizeObserver(() => redraw(true)).observe(canvas);
  if (content.sheet) {
    state.sheet = await readSheet(content.sheet, content.labels);
    state.sheet.tint();
    showNear();
    redraw(true);
  }
}

const middle = ([left, bottom, wide, high]) => [left + wide / 2, bottom + high / 2];

// Shows the choices that a model has.
function openChoices(root, content, size) {
  for (const kind of ["pca", "tsne"]) root.querySelector(`[value=${kind}]`).parentNode.hidden = !content[kind];
  if (content.pca) root.querySelector("[value=pca]").checked = true;
  root.querySelectorAll("select").forEach((select, k) => {
    for (let i = 0; i < size; i++) select.append(new Option(`z${i}`, i, i === k, i === k));
  });
  root.querySelector("[value=thumbnails]").disabled = !content.sheet;
  root.querySelector("[value=spherical]").disabled = size === 1;
}

// Returns what is to be known of a projection, in sentences.
function hintOf(content, codes, kind) {
  const percent = share => `${(100 * share).toFixed(share > .995 && share < 1 ? 2 : 0)} %`, [all, two] = content.variance;
  const sentences = [{
    pair: codes.size > 2 ? "The other latents stay where they are." : codes.size === 1 ? "The model has one latent: across; the points are spread upwards to be seen." : "",
    pca: `The first two principal components hold ${percent(two)} of the codes' variance; other directions stay at their mean.`,
    tsne: "t-SNE has no way back: a place decodes to the codes of its 5 nearest points, weighted by 1 / distance.",
  }[kind]];
  sentences.push(`${codes.count.toLocaleString("en")} of ${content.whole.toLocaleString("en")} test images.`);
  if (content.prior && kind !== "tsne") sentences.push("Dashed: 1, 2, 3 standard deviations of the prior.");
  if (all < .9995) sentences.push(`This page has the leading principal components of the codes, ${percent(all)} of their variance.`);
  if (content.left_out) sentences.push(`Left out because their codes are not finite: ${content.left_out}.`);
  return sentences.filter(Boolean).join(" ");
}

// Follows the pointer over a canvas: hovering mouse, dragging finger or pen; `click(shift)` where it was pressed and did not move.
function openPointer(canvas, move, click) {
  let pressed = null;
  const at = event => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left - canvas.clientLeft, event.clientY - box.top - canvas.clientTop]; };
  canvas.addEventListener("pointerdown", event => {
    if (event.button !== 0 || !event.isPrimary) return;
    pressed = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
    move(...at(event));
  });
  canvas.addEventListener("pointermove", event => { if (event.isPrimary && (event.pointerType === "mouse" || pressed)) move(...at(event)); });
  canvas.addEventListener("pointercancel", () => { pressed = null; });
  canvas.addEventListener("pointerup", event => {
    if (!event.isPrimary) return;
    if (pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 5 && event.button === 0) click(event.shiftKey);
    pressed = null;
  });
}
