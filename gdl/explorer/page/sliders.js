// Section sliders: see gdl/explorer/sections/sliders.py for its content.
import { drawsOf, openSeed } from "./draws.js";
import { openClasses } from "./classes.js";
import { openRows } from "./slider_rows.js";
import { openUndo } from "./undo.js";
import { readTensors } from "./weights.js";

const FIRST = 16;  // latents shown at first

// Opens the section: `root` its element, `content` as of sliders.py, `app` as of app.js.
export function openSliders(root, content, app) {
  const find = selector => root.querySelector(selector), button = name => find(`[data-do=${name}]`);
  const [status, temperature] = [find("[role=status]"), find(".sliders_temperature")];
  const {order, active} = content, codes = readTensors(content.codes)[0], draw = drawsOf(content);
  const [list, rest] = root.querySelectorAll(".sliders_list"), undo = openUndo(app, button("undo"));
  // the test image shown last; the seed of what is shown, if it is a draw
  let image = -1, drawn = null;
  const say = text => { status.textContent = text; };
  const set = (state, isPart) => { undo.before(isPart); return app.set(state, "sliders"); };

  const rows = openRows(content, (j, value) => {
    const z = app.z.slice();
    z[j] = value;
    drawn = null;
    set({z}, true);
  }, undo.rest);
  const classes = openClasses(find(".sliders_classes"), app, y => set({y}));

  const seed = openSeed(find(".sliders_seed"), () => showDraw(), say);
  function showDraw(isPart = false) {
    drawn = seed.value();
    set({z: draw(drawn, Number(temperature.value))}, isPart);
    say(`Draw of seed ${drawn} at temperature ${temperature.value}.`);
  }

  const actions = {
    reset() { drawn = null; set({z: content.mean}); say(""); },
    draw() { seed.next(); showDraw(); },
    image() {
      image = (image + 1) % codes.shape[0];
      drawn = null;
      const size = codes.shape[1], label = content.labels?.[image] ?? -1, state = {z: codes.data.slice(image * size, (image + 1) * size)};
      set(app.content.classes && label >= 0 ? {...state, y: label} : state);
      say(`The code of test image ${image + 1} of ${codes.shape[0]}.`);
    },
    undo() {
      const state = undo.back();
      drawn = null;
      if (state) app.set(state, "sliders");
      say("");
    },
    all() { rows.add(list, order.slice(FIRST, active)); button("all").hidden = true; rows.show(app.z); },
  };
  for (const [name, action] of Object.entries(actions)) button(name).addEventListener("click", action);

  temperature.addEventListener("input", () => {
    const text = Number(temperature.value).toFixed(2);
    temperature.nextElementSibling.textContent = text;
    temperature.setAttribute("aria-valuetext", text);
    if (drawn !== null) showDraw(true);
  });
  temperature.addEventListener("change", undo.rest);

  find(".sliders_hint").textContent = hintOfSliders(content);
  rows.add(list, order.slice(0, Math.min(FIRST, active)));
  button("all").hidden = active <= FIRST;
  button("all").textContent = `show all ${active}`;
  const idle = order.length - active, fold = find(".sliders_rest");
  fold.hidden = !idle;
  fold.firstElementChild.textContent = `show the ${idle === 1 ? "latent that carries" : `${idle} latents that carry`} nothing`;
  fold.addEventListener("toggle", () => {
    if (rest.childElementCount) return;
    rows.add(rest, order.slice(active));
    rows.show(app.z);
  });
  app.on("code", from => {
    if (from !== "sliders") { drawn = null; undo.rest(); say(""); }
    rows.show(app.z);
    classes.show(app.y);
  });
  app.on("checkpoint", () => {
    const isBest = app.checkpoint === app.content.weights.length - 1;
    say(isBest ? "" : "What latents carry, and their ranges, are those of the best weights.");
  });
  rows.show(app.z);
  classes.show(app.y);
}

// Returns what the numbers beside the sliders are, and what draws are from.
function hintOfSliders({kind, images, mean, factor, prior}) {
  const n = images.toLocaleString("en");
  if (kind === "kl") {
    return `Sorted by what latents tell of an image: KL(q(z | x), N(0, 1)) in nats, the mean over ${n} test images. `
      + "Draws are from the prior N(0, I), times the temperature.";
  }
  const sorted = `Sorted by their share of the variance of the codes of ${n} test images. `;
  if (prior === "normal" || prior === "logistic") return `${sorted}Draws are from the ${prior} prior, times the temperature.`;
  const alone = factor && mean.length > 1 && readTensors(factor)[0].shape[0] === 1;
  const why = prior === "class" ? "Each class has a prior of its own" : "This model has no prior of its latents";
  return `${sorted}${why}: draws are from a Gaussian fitted to these codes${alone ? ", each latent by itself" : ""}, its width times the temperature.`;
}
