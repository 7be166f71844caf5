// Interpolation between two chosen places, A and B, of a map.
import { linear, spherical } from "./between.js";
import { paint } from "./picture.js";
import { tensor } from "./tensor.js";

// Returns {set(name, {z, place}), next() -> the end that a click sets, ends(), path(n) -> latents on the way}.
// `now()` tells place, latents and projection of the map; `changed` is called when it is to be drawn again.
export function openBetween(root, app, now, changed) {
  const ends = new Map(), slider = root.querySelector(".map_t"), play = root.querySelector(".map_play");
  const mix = () => root.querySelector("input[name=map_path]:checked").value === "linear" ? linear : spherical;
  const whole = () => ends.has("A") && ends.has("B");
  let last = "B", frame = null;

  async function picture(name) {
    const {z} = ends.get(name), canvas = root.querySelector(`[data-end=${name}] canvas`);
    const {image} = await app.model.run("decode", {z: tensor([1, ...app.content.latent_shape], z.slice()), ...app.labels(1)});
    paint(canvas, image, app.content.levels);
    canvas.setAttribute("aria-label", `${name}: the image of this end`);
  }

  function show() {
    if (whole()) app.set({z: mix()(ends.get("A").z, ends.get("B").z, Number(slider.value))}, "between");
    changed();
  }

  function stop() {
    cancelAnimationFrame(frame);
    frame = null;
    play.textContent = "play";
  }

  play.addEventListener("click", () => {
    if (frame !== null) return stop();
    const from = Number(slider.value) < 1 ? Number(slider.value) : 0, began = performance.now();
    play.textContent = "stop";
    const step = time => {
      slider.value = Math.min(1, from + Math.max(0, time - began) / 4000);
      show();
      Number(slider.value) < 1 ? frame = requestAnimationFrame(step) : stop();
    };
    frame = requestAnimationFrame(step);
  });
  slider.addEventListener("input", () => { stop(); show(); });
  root.addEventListener("change", event => { if (event.target.name === "map_path") show(); });
  // other weights or another class: the same latents are other pictures
  const again = () => Promise.all([...ends.keys()].map(picture));
  let class_ = app.y;
  app.on("checkpoint", again);
  app.on("code", () => { if (class_ !== app.y) { class_ = app.y; return again(); } });

  return {
    async set(name, {z, place}) {
      stop();
      ends.set(name, {z, place, kind: now().kind});
      last = name;
      slider.disabled = play.disabled = !whole();
      changed();
      await picture(name);
    },
    next: () => last === "A" ? "B" : "A",
    ends: () => [...ends],
    path: n => whole() ? Array.from({length: n}, (_, i) => mix()(ends.get("A").z, ends.get("B").z, i / (n - 1))) : [],
  };
}
