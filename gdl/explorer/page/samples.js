// Section samples: see gdl/explorer/sections/samples.py for its content.
import { openClasses } from "./classes.js";
import { tensor } from "./tensor.js";
import { paint } from "./picture.js";

// Opens the section: `root` its element, `content` as of samples.py, `app` as of app.js. The big picture is the sample that is chosen.
export function openSamples(root, {count}, app) {
  const [button, grid, status] = [".samples_tools button", ".samples_grid", "[role=status]"].map(selector => root.querySelector(selector));
  const [seed, temperature] = root.querySelectorAll(".samples_tools input"), [, height, width] = app.content.shape;
  const one = value => tensor([1], Float32Array.of(value));
  let image = null, busy = false, again = false;

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
    app.show(sampleOf(k), `sample ${k + 1} of seed ${seed.value}`);
  }
  async function draw() {
    if (busy) { again = true; return; }
    busy = true;
    do {
      again = false;
      status.textContent = `Drawing ${count} samples …`;
      try {
        ({image} = await app.model.run("sample", {seed: one(seed.value), temperature: one(temperature.value), ...app.labels(1)}));
        cells.forEach(({cell, canvas}, k) => { cell.disabled = false; paint(canvas, sampleOf(k), app.content.levels); });
        choose(0);
        status.textContent = "";
      } catch (error) { status.textContent = `Not drawn: ${error.message}`; }
    } while (again);
    busy = false;
  }

  const classes = openClasses(root.querySelector(".samples_classes"), app, y => { app.set({y}, "samples"); draw(); });
  button.addEventListener("click", () => { seed.value = Number(seed.value) + 1; draw(); });
  seed.addEventListener("change", draw);
  temperature.addEventListener("change", draw);
  temperature.addEventListener("input", () => { temperature.nextElementSibling.textContent = Number(temperature.value).toFixed(2); });
  classes.show(app.y);
  draw();
}
