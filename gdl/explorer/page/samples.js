// Section samples: see gdl/explorer/sections/samples.py for its content.
import { openClasses } from "./classes.js";
import { openSeed } from "./draws.js";
import { tensor } from "./tensor.js";
import { paint } from "./picture.js";

// Opens the section: `root` its element, `content` as of samples.py, `app` as of app.js. The big picture is the sample that is chosen.
export function openSamples(root, {count}, app) {
  const [button, grid, status] = [".samples_tools button", ".samples_grid", "[role=status]"].map(selector => root.querySelector(selector));
  const [input, temperature] = root.querySelectorAll(".samples_tools input"), [, height, width] = app.content.shape;
  const one = value => tensor([1], Float32Array.of(value));
  let image = null, drawn = null, asked = null;

  const cells = Array.from({length: count}, (_, k) => {
    const cell = document.createElement("button"), canvas = Object.assign(document.createElement("canvas"), {width, height});
    cell.type = "button";
    cell.disabled = true;
    cell.setAttribute("aria-label", `Sample ${k + 1}`);
    canvas.style.aspectRatio = `${width} / ${height}`;
    cell.append(canvas);
    cell.addEventListener("click", () => choose(k));
    grid.append(cell);
    return {cell, canvas};
  });

  // Returns the k-th image of the samples that are shown.
  function sampleOf(k) {
    const size = image.data.length / image.shape[0];
    return tensor([1, ...image.shape.slice(1)], image.data.slice(k * size, (k + 1) * size));
  }
  function choose(k) {
    cells.forEach(({cell}, i) => cell.setAttribute("aria-pressed", i === k));
    app.show(sampleOf(k), `sample ${k + 1} of ${drawn}`);
  }
  // Returns what a draw is of, in words.
  function words() {
    const parts = [`seed ${seed.value()}`, ...(temperature.value === "1" ? [] : [`temperature ${temperature.nextElementSibling.textContent}`])];
    return [...parts, ...(app.y === null ? [] : [`class ${app.content.classes[app.y] ?? "unknown"}`])].join(", ");
  }
  // Draws what is chosen now; an earlier draw that is not done is left, here and in Python.
  async function draw() {
    asked?.abort();
    const mine = asked = new AbortController(), about = words();
    status.textContent = `Drawing ${count} samples …`;
    try {
      const inputs = {seed: one(seed.value()), temperature: one(temperature.value), ...app.labels(1)};
      const found = (await app.model.run("sample", inputs, mine.signal)).image;
      if (mine !== asked) return;
      [image, drawn] = [found, about];
      cells.forEach(({cell, canvas}, k) => { cell.disabled = false; paint(canvas, sampleOf(k), app.content.levels); });
      choose(0);
      status.textContent = "";
    } catch (error) { if (mine === asked) status.textContent = `Not drawn: ${error.message}`; }
  }

  const seed = openSeed(input, draw, text => { status.textContent = text; });
  const classes = openClasses(root.querySelector(".samples_classes"), app, y => { app.set({y}, "samples"); draw(); });
  button.addEventListener("click", () => { seed.next(); draw(); });
  temperature.addEventListener("change", draw);
  temperature.addEventListener("input", () => { temperature.nextElementSibling.textContent = Number(temperature.value).toFixed(2); });
  classes.show(app.y);
  draw();
}
