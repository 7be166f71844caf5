// An image and what the model makes of it: the reconstruction, the difference, the numbers.
import { tensor } from "./ops.js";
import { paint } from "./picture.js";
import { terms } from "./terms.js";

// Returns {of(shaped)}: encodes and decodes the image that shaped() gives, {image, label} or null. Calls while it is busy become one.
export function openReconstruction(root, app, say) {
  const {levels, classes, shape} = app.content, again = root.querySelector(".again"), difference = root.querySelector("[data-of=difference]");
  const best = root.querySelector("[data-do=best]"), numbers = openNumbers(root.querySelector(".numbers"), app);
  const blank = tensor([1, ...shape], new Float32Array(shape.reduce((a, b) => a * b)));
  const labels = y => y === null ? {} : {y: tensor([1], Float32Array.of(y))};
  let waiting = null, busy = false, shown = null, label = null, leads = false;

  function show() {
    if (!shown) { paint(again, blank, levels); numbers.show(null); return; }
    const {image, decoded} = shown;
    const far = () => tensor(image.shape, image.data.map((v, i) => Math.abs(v - decoded.data[i])));
    paint(again, difference.checked ? far() : decoded, levels);
    again.nextElementSibling.textContent = difference.checked ? "the difference" : "its reconstruction";
    again.setAttribute("aria-label", difference.checked ? "Absolute difference of image and reconstruction" : "Its reconstruction");
  }
  // One image: its code becomes that of the page, if it was drawn or opened just now.
  async function reconstruct({image, label: own}, tells) {
    if (classes && own !== null && own !== label && tells) app.set({y: own}, "canvas");
    label = own;
    const y = app.y, {mean} = await app.model.run("encode", {x: image, ...labels(y)});
    if (tells) app.set({z: mean.data}, "canvas");
    shown = {image, y, decoded: (await app.model.run("decode", {z: mean, ...labels(y)})).image};
    show();
    if (!waiting) numbers.show(await terms(app, image, y), y);
  }
  async function work() {
    if (busy) return;
    busy = true;
    delete root.dataset.settled;
    while (waiting) {
      await new Promise(requestAnimationFrame);
      const {shaped, tells} = waiting;
      waiting = null;
      try {
        const input = shaped();
        if (input) await reconstruct(input, tells);
        else { shown = null; show(); }
      } catch (error) { say(`Not reconstructed: ${error.message}`); }
    }
    busy = false;
    root.dataset.settled = "";  // tests wait for it
  }
  function request(shaped, tells) {
    waiting = {shaped, tells};
    return work();
  }
  async function findBest() {
    if (!shown) { say("Draw something first, or open a picture."); return; }
    const image = shown.image, losses = [];
    for (let y = 0; y < classes.length; y++) {
      const {rate = 0, distortion, squared_error} = await terms(app, image, y);
      losses.push(distortion === undefined ? squared_error : rate + distortion);
    }
    const y = losses.indexOf(Math.min(...losses));
    say(`Class ${classes[y]} fits best.`);
    app.set({y}, "canvas");
    request(() => ({image, label}), true);
  }

  difference.addEventListener("change", show);
  best.hidden = !classes;
  best.addEventListener("click", findBest);
  app.on("code", from => { leads = from === "canvas"; });
  app.on("checkpoint", () => { if (shown) { const {image} = shown; request(() => ({image, label}), leads); } });
  show();
  return {of: shaped => request(shaped, true)};
}

// Returns {show(terms or null, class)}, which fills a list of numbers with fixed lines.
function openNumbers(list, app) {
  const {shape, classes, levels} = app.content, pixels = shape.reduce((a, b) => a * b), fields = {};
  const line = (name, title) => {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = title;
    list.append(term, text);
    fields[name] = text;
  };
  line("error", "squared error");
  const isVariational = "log_std" in (app.content.programs.encode?.outputs ?? {}), hasDistortion = isVariational && app.model.has("distortion");
  if (isVariational) line("rate", "rate");
  if (hasDistortion) { line("distortion", "distortion"); line("sum", "sum"); }
  if (classes) line("class", "class");
  return {
    show(found, y = null) {
      const write = (name, text) => { if (fields[name]) fields[name].textContent = found ? text() : "–"; };
      write("error", () => `${found.squared_error.toPrecision(4)} per pixel, pixels in [0, 1]`);
      write("rate", () => `${found.rate.toFixed(2)} nats`);
      write("distortion", () => `${found.distortion.toFixed(2)} nats`);
      write("sum", () => {
        const sum = found.rate + found.distortion;
        return `${sum.toFixed(2)} nats, the negative ELBO: ${(sum / Math.LN2 / pixels).toFixed(3)} bits/dim`;
      });
      write("class", () => classes[y]);
    },
  };
}
