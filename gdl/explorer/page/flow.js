// Section flow: see gdl/explorer/sections/flow.py for its content.
import { openFlowLayers } from "./flow_layers.js";
import { openFlowPicture } from "./flow_picture.js";
import { latentColour } from "./flow_plot.js";
import { openClasses } from "./classes.js";
import { colourOfClass } from "./palette.js";

const FLOW_GRID = {1: 320, 2: 96}, FLOW_SPEED = 1.6;  // cells of a side of the density; layers a second

// Points move through the layers as a slider says; the pointer shows the way of one of them, whose latents are app.z.
export function openFlow(root, content, app) {
  const count = content.layers.length, layers = openFlowLayers(app, count), d = layers.d;
  const part = name => root.querySelector(`#flow-${name}`), slider = part("time");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const state = {time: 0, points: null, way: null, densities: new Map(), shown: true, byClass: false};
  const picture = openFlowPicture(part("plane"), content, d, state);
  let playing = 0, filling = false, age = 0, class_ = app.y, tracing = false, wanted = null, saying = 0, test = true, seed = 0;

  // Returns the class that the density is of; null where it is of all data.
  const chosenClass = () => !app.content.classes || app.y === app.content.no_class ? null : app.y;

  // ---- the points

  // Takes points as they are at all places, colours them by where they end, and says how well they fit.
  async function take(places, logDets, labels, known) {
    const z = places.at(-1), n = z.length / d, prior = await layers.logPrior(z);
    const all = Array.from({length: n}, (_, i) => i), mean = (f, of = all) => of.reduce((sum, i) => sum + f(i), 0) / of.length;
    const isNear = i => !labels || chosenClass() === null || labels[i] === app.y, near = all.filter(isNear);
    state.points = {
      places, labels, n, isNear,
      byLatent: Array.from({length: n}, (_, i) => latentColour(z.slice(i * d, (i + 1) * d))),
      byClass: labels?.map(colourOfClass),
      steps: logDets?.slice(1).map((_, k) => mean(i => logDets[k + 1][i] - logDets[k][i])),
      logP: logDets && near.length ? mean(i => prior[i] + logDets.at(-1)[i], near) : null,
      // from the points as they are at a place to the prior, as if the flow ended there
      kl: logDets && known ? await gaps(places, logDets, known, mean) : null,
    };
    tell();
  }

  async function gaps(places, logDets, known, mean) {
    const found = [];
    for (let k = 0; k <= count; k++) {
      const prior = await layers.logPrior(places[k]);
      found.push(mean(i => known[i] - logDets[k][i] - prior[i]));
    }
    return found;
  }

  async function takeTest() {
    test = true;
    const now = age, {places, logDets} = await layers.onwards(Float32Array.from(content.points), 0);
    if (now === age) await take(places, logDets, content.labels, content.known);
  }

  async function takeSamples() {
    test = false;
    const now = age, z = await layers.draw(1000, content.prior, seed), places = await layers.backwards(z, count);
    const labels = app.y === null || !content.labels ? null : Array(z.length / d).fill(content.names[app.y] === undefined ? -1 : app.y);
    if (now === age) await take(places, null, labels, null);
  }

  // ---- the density, of the place in sight first

  async function fill() {
    if (filling) return;
    filling = true;
    for (let k; (k = nearest()) !== null;) {
      const now = age, found = await layers.logDensity(picture.grid(k, FLOW_GRID[d]), k);
      if (now !== age) continue;
      state.densities.set(k, picture.density(found, FLOW_GRID[d]));
      picture.draw();
    }
    filling = false;
  }

  function nearest() {
    const missing = Array.from({length: count + 1}, (_, k) => k).filter(k => !state.densities.has(k));
    return missing.length ? missing.reduce((a, b) => Math.abs(b - state.time) < Math.abs(a - state.time) ? b : a) : null;
  }

  // ---- the cursor

  // Sends a point (D numbers) of the place in sight both ways, and makes its latents those of the page; the last one wins.
  async function trace(point) {
    wanted = point;
    if (tracing) return;
    tracing = true;
    try {
      while (wanted) {
        const k = Math.round(state.time), h = Float32Array.from(wanted);
        wanted = null;
        const before = await layers.backwards(h, k), after = await layers.onwards(h, k);
        await follow([...before.slice(0, -1), ...after.places]);
        app.set({z: after.places.at(-1)}, "flow");
      }
    } finally { tracing = false; }
  }

  // Shows the latents of the page, which another part has changed.
  const traceBack = async () => follow(await layers.backwards(Float32Array.from(app.z), count));

  async function follow(places) {
    const {logP: [logP]} = await layers.logDensity(places[0], 0);
    state.way = {places, logP};
    tell();
  }

  // ---- words

  const number = v => v.toFixed(2).replace("-", "−"), precise = v => v.toFixed(3).replace("-", "−");
  // as many digits as the picture after layer k can tell apart
  const coordinate = (v, half) => v.toFixed(Math.max(0, Math.min(20, 2 - Math.floor(Math.log10(half))))).replace("-", "−");
  const vector = (h, k) => {
    const texts = [...h].map((v, i) => coordinate(v, content.boxes[k][d + i]));
    return d === 1 ? texts[0] : `(${texts.join(", ")})`;
  };
  const density = () => chosenClass() === null ? "log p(x)" : "log p(x | class)";
  const layerName = k => `layer ${k} of ${count}, ${content.layers[k - 1]}`;

  function placeName() {
    const k = Math.ceil(state.time);
    if (state.time < k) return `Within ${layerName(k)}`;
    return k === 0 ? "Data, before the first layer" : `${k === count ? "Latents, after" : "After"} ${layerName(k)}`;
  }

  function tell() {
    const points = state.points, way = state.way, name = placeName();
    part("name").textContent = name;
    slider.setAttribute("aria-valuetext", name);
    picture.draw();
    if (points) {
      part("points").textContent = test ? `${points.n} test points` : `${points.n} samples of the model, seed ${seed}`;
      const at = Math.max(1, Math.ceil(state.time)), step = points.steps?.[at - 1];
      part("det").textContent = `${at}: ${content.layers[at - 1]}${step === undefined ? "" : `\nmean log |det| ${number(step)} nats`}`;
      part("fit-name").textContent = points.kl ? "KL" : `mean ${density()}`;
      const near = Math.round(state.time);
      part("fit").textContent = points.kl ? `${precise(points.kl[near])} nats from the points here to the prior, ${precise(points.kl[count])} after all layers`
        : points.logP === null ? "known of test points" : `${number(points.logP)} nats`;
    }
    if (way) {
      const text = `x = ${vector(way.places[0], 0)}, z = ${vector(way.places.at(-1), count)}, ${density()} = ${precise(way.logP)} nats`;
      part("way").textContent = text.replaceAll(/, (?=z|log)/g, "\n");
      part("plane").setAttribute("aria-label", `${d === 2 ? "Plane" : "Line"} with points, ${name}; cursor at ${text}`);
      clearTimeout(saying);
      // a screen reader hears of it when it rests
      saying = setTimeout(() => { if (root.contains(document.activeElement)) part("said").textContent = `${name}. ${text}`; }, 800);
    }
  }

  // ---- controls

  function move(time) {
    state.time = Math.max(0, Math.min(count, time));
    slider.value = state.time;
    tell();
  }

  const button = () => { part("play").textContent = playing ? "❚❚ pause" : "▶ play"; };

  function stop() {
    playing = 0;
    button();
  }

  // Moves the points to the other end: test points to the latents, samples to the data.
  function play() {
    const direction = test ? 1 : -1, end = test ? count : 0, mine = playing = performance.now();
    let last = mine;
    if (state.time === end) move(count - end);
    const step = now => {
      if (playing !== mine) return;
      move(state.time + direction * Math.max(0, now - last) / 1000 * FLOW_SPEED * Math.max(1, count / 10));
      last = now;
      if (state.time === end) stop(); else requestAnimationFrame(step);
    };
    button();
    requestAnimationFrame(step);
  }

  slider.max = count;
  slider.addEventListener("input", () => { stop(); move(Number(slider.value)); });
  part("play").addEventListener("click", () => playing ? stop() : play());
  part("test").addEventListener("click", async () => { stop(); await takeTest(); });
  part("draw").addEventListener("click", async () => {
    stop();
    seed++;
    await takeSamples();
    move(count);
    if (still.matches) move(0); else play();
  });
  part("density").addEventListener("change", event => { state.shown = event.target.checked; picture.draw(); });

  function cursor(event) {
    trace(picture.pointAt(event));
  }
  part("plane").addEventListener("pointermove", event => { if (event.pointerType === "mouse" || event.buttons) cursor(event); });
  part("plane").addEventListener("pointerdown", cursor);
  part("plane").addEventListener("keydown", event => {
    const to = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key];
    if (!to || !state.way) return;
    event.preventDefault();
    const k = Math.round(state.time), half = content.boxes[k].slice(d), steps = event.shiftKey ? 8 : 40;
    trace((wanted ?? [...state.way.places[k]]).map((v, i) => v + half[i] / steps * to[i]));
  });

  // ---- legend and classes

  function legend() {
    const entries = state.byClass ? content.names.map((name, k) => [colourOfClass(k), name])
      : [[null, d === 2 ? "colour: direction from the middle of the latents" : "colour: place among the latents, −2 to 2"]];
    part("wheel").hidden = state.byClass;
    picture.wheel(part("wheel"));
    part("names").replaceChildren(...entries.map(([colour, name]) => {
      const item = document.createElement("li"), dot = document.createElement("i"), text = document.createElement("bdi");
      if (colour) dot.style.background = colour;
      text.textContent = name;
      item.append(...(colour ? [dot, text] : [text]));
      return item;
    }));
  }

  part("colours").hidden = !content.labels;
  part("colours").addEventListener("change", event => {
    state.byClass = event.target.value === "class";
    legend();
    picture.draw();
  });
  const classes = openClasses(part("classes"), app, y => app.set({y}));

  // ---- the rest of the page

  async function renew(points) {
    age++;
    state.densities.clear();
    if (points) await (test ? takeTest() : takeSamples());
    await traceBack();
    fill();
  }
  app.on("checkpoint", () => renew(true));
  app.on("theme", () => {
    if (state.points?.labels) state.points.byClass = state.points.labels.map(colourOfClass);
    for (const density of state.densities.values()) picture.colour(density);
    legend();
    picture.draw();
  });
  app.on("code", from => {
    const other = app.y !== class_;
    class_ = app.y;
    if (other) {
      classes.show(app.y);
      return renew(true);
    }
    return from === "flow" ? null : traceBack();
  });

  part("plane").classList.toggle("line", d === 1);
  part("hint").textContent = `${count} layers map data (left end of the slider) to latents (right end). Move the pointer over the picture, or focus it and use the arrow keys (with shift: further), to send one point both ways.`;
  button();
  legend();
  classes.show(app.y);
  root.flow = state;  // tests and scripts find it here
  move(0);
  return takeTest().then(traceBack).then(fill);
}
