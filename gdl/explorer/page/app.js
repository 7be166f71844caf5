// What the sections of the page share: the model, the current latents and class, and who wants to know of them.
import { tensor } from "./tensor.js";

// Events: "code" (latents or class have changed), "decoded" (their image is there), "checkpoint", "theme" (colours have changed).
export function openApp(content, model) {
  const size = content.latent_shape.reduce((a, b) => a * b, 1), listeners = {code: [], decoded: [], checkpoint: [], theme: []};
  const status = document.getElementById("status");
  let busy = false, again = false;
  const app = {
    content, model, z: Float32Array.from(content.sections.sliders?.mean ?? new Float32Array(size)), y: content.classes ? 0 : null, image: null, checkpoint: content.weights.length - 1, milliseconds: 0,
    on(event, listener) { listeners[event].push(listener); },
    tell(event, from) { for (const listener of listeners[event]) listener(from); },
    labels: n => content.classes ? {y: tensor([n], new Float32Array(n).fill(app.y))} : {},
    // Changes latents or class; `from` is the section that did, which need not be told.
    set({z = app.z, y = app.y}, from) {
      app.z = Float32Array.from(z);
      app.y = y;
      app.tell("code", from);
      return app.decode();
    },
    useCheckpoint(k) {
      app.checkpoint = k;
      model.use(k);
      app.tell("checkpoint");
      return app.decode();
    },
    // Shows an image that no latents decode to, with words for it.
    show(image, about) {
      Object.assign(app, {image, about});
      app.tell("decoded");
    },
    // Decodes the current latents; calls while it is busy become one.
    async decode() {
      if (!model.has("decode")) return;  // a model without latents
      if (busy) { again = true; return; }
      busy = true;
      try {
        do {
          again = false;
          const z = tensor([1, ...content.latent_shape], app.z.slice()), began = performance.now();
          app.image = (await model.run("decode", {z, ...app.labels(1)})).image;
          app.milliseconds = performance.now() - began;
          app.tell("decoded");
        } while (again);
        status.textContent = "";
      } catch (error) {  // e.g. of a server that is gone
        status.textContent = `Not decoded: ${error.message}`;
      }
      busy = false;
    },
  };
  return app;
}
