// An image and what the model makes of it: the reconstruction, the difference, the numbers.
import { tensor } from "./tensor.js";
import { paint } from "./picture.js";
import { terms } from "./terms.js";

const REST = 100;  // milliseconds

// Returns {of(shaped)}, which encodes and decodes the image that shaped() gives, {image, picture (null for strokes)}, or what shows an empty
// sheet, {image, empty: true}. Calls while it is busy become one.
export function openReconstruction(root, app, say) {
  const {levels, classes} = app.content, again = root.querySelector(".again"), difference = root.querySelector("[data-of=difference]");
  const best = root.querySelector("[data-do=best]"), numbers = openNumbers(root.querySelector(".numbers"), app);
  const labels = y => y === null ? {} : {y: tensor([1], Float32Array.of(y))};
  let current = null, waiting = null, wake = null, busy = false, shown = null, last = null, leads = false;

  function show() {
    const {image, decoded} = shown;
    const far = () => tensor(image.shape, image.data.map((v, i) => Math.abs(v - decoded.data[i])));
    paint(again, difference.checked ? far() : decoded, levels);
    again.nextElementSibling.textContent = difference.checked ? "the difference" : "its reconstruction";
    again.setAttribute("aria-label", difference.checked ? "Absolute difference of image and reconstruction" : "Its reconstruction");
  }
  function clear(image) {
    shown = null;
    paint(again, image, levels);
    numbers.show(null);
  }
  // One image: its code becomes that of the page, if it was drawn or opened just now.
  async function reconstruct({image, picture}, tells) {
    if (classes && tells && picture !== last && (picture?.label ?? null) !== null) app.set({y: picture.label}, "canvas");
    last = picture;
    const y = app.y, {mean} = await app.model.run("encode", {x: image, ...labels(y)});
    if (tells) app.set({z: mean.data}, "canvas");
    shown = {image, y, decoded: (await app.model.run("decode", {z: mean, ...labels(y)})).image};
    show();
    // the numbers need several decodings, so they come when the pen rests
    await Promise.race([new Promise(done => setTimeout(done, REST)), new Promise(done => { wake = done; })]);
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
        if (input.empty) clear(input.image);
        else await reconstruct(input, tells);
      } catch (error) { say(`Not reconstructed: ${error.message}`); }
    }
    busy = false;
    root.dataset.settled = "";  // tests wait for it
  }
  function request(shaped, tells) {
    current = shaped;
    waiting = {shaped, tells: tells || !!waiting?.tells};
    wake?.();
    return work();
  }
  async function findBest() {
    if (!shown) return say("Draw something first, or open a picture.");
    const image = shown.image, losses = [];
    for (let y = 0; y < classes.length; y++) {
      const found = await terms(app, image, y);
      losses.push(found.log_prob !== null ? -found.log_prob : found.rate === null ? found.squared_error : found.rate + found.distortion);
    }
    const y = losses.indexOf(Math.min(...losses));
    say(`Class ${classes[y]} fits best.`);
    app.set({y}, "canvas");
    request(current, true);
  }

  difference.addEventListener("change", () => { if (shown) show(); });
  best.hidden = !classes;
  best.addEventListener("click", findBest);
  app.on("code", from => { leads = from === "canvas"; });
  app.on("checkpoint", () => { if (shown) request(current, leads); });
  return {of: shaped => request(shaped, true)};
}

// Returns {show(terms or null, class)}, which fills a list of numbers with fixed lines.
function openNumbers(list, app) {
  const {shape, classes} = app.content, pixels = shape.reduce((a, b) => a * b), fields = {};
  const line = (name, title) => {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = title;
    list.append(term, text);
    fields[name] = text;
  };
  line("error", "squared error");
  if (app.model.has("distortion")) {
    line("rate", "rate");
    line("distortion", "distortion");
    line("sum", "negative ELBO");
    list.nextElementSibling.hidden = false;
  }
  if (app.model.has("log_prob")) line("log_prob", "−log P(x), at most");
  if (classes) line("class", "class");
  return {
    show(found, y = null) {
      const write = (name, text) => {
        if (fields[name]) fields[name].textContent = found ? text() : "–";
      };
      write("error", () => `${found.squared_error.toFixed(5)} per pixel in [0, 1]`);
      write("rate", () => `${found.rate.toFixed(2)} nats`);
      write("distortion", () => `${found.distortion.toFixed(2)} nats`);
      write("sum", () => {
        const sum = found.rate + found.distortion;
        return `${sum.toFixed(2)} nats, ${(sum / Math.LN2 / pixels).toFixed(3)} bits/dim`;
      });
      write("log_prob", () => `${(-found.log_prob).toFixed(2)} nats, ${(-found.log_prob / Math.LN2 / pixels).toFixed(3)} bits/dim`);
      write("class", () => classes[y] ?? "not told");
    },
  };
}
