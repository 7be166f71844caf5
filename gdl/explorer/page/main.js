import { localModel } from "./model.js";
import { remoteModel } from "./remote.js";
import { openApp } from "./app.js";
import { paint } from "./picture.js";
import { openLatentMap } from "./latent_map.js";
import { openSliders } from "./sliders.js";
import { openCanvas } from "./canvas.js";
import { openCheckpoints } from "./checkpoints.js";
import { openFlow } from "./flow.js";

const content = JSON.parse(document.getElementById("content").textContent);
const app = openApp(content, content.weights ? localModel(content) : remoteModel(content));
app.on("decoded", () => paint(document.getElementById("decoded"), app.image, content.levels));
const open = {latent_map: openLatentMap, sliders: openSliders, canvas: openCanvas, checkpoints: openCheckpoints, flow: openFlow};
for (const [name, section] of Object.entries(content.sections)) {
  if (section !== null) open[name](document.getElementById(name), section, app);
}
// after the first paint; tests and scripts find the application here
requestAnimationFrame(() => setTimeout(() => app.decode().then(() => document.documentElement.dataset.ready = "")));
window.app = app;
