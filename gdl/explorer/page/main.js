import { localModel } from "./model.js";
import { remoteModel } from "./remote.js";
import { openApp } from "./app.js";
import { openStage } from "./stage.js";
import { openTheme } from "./theme.js";
import { openCopy } from "./copy.js";
import { openLatentMap } from "./latent_map.js";
import { openSliders } from "./sliders.js";
import { openCanvas } from "./canvas.js";
import { openCheckpoints } from "./checkpoints.js";
import { openFlow } from "./flow.js";
import { openSamples } from "./samples.js";

const open = {latent_map: openLatentMap, sliders: openSliders, canvas: openCanvas, checkpoints: openCheckpoints, flow: openFlow, samples: openSamples};

// Shows an error as one sentence at the end of a part of the page, once.
function showError(root, what, error) {
  console.debug(error);
  if (root.querySelector(".failed")) return;
  const line = Object.assign(document.createElement("p"), {className: "failed"});
  line.setAttribute("role", "alert");
  line.textContent = `${what}: ${error?.message ?? error}`;
  root.append(line);
}

// Returns the application as a section sees it: what fails in a listener of the section is shown there, and stops no other.
function forSection(app, failed) {
  const guarded = listener => (...args) => {
    try { return Promise.resolve(listener(...args)).catch(failed); } catch (error) { return failed(error); }
  };
  return Object.assign(Object.create(app), {on: (event, listener) => app.on(event, guarded(listener))});
}

function start() {
  const content = JSON.parse(document.getElementById("content").textContent);
  const app = openApp(content, content.weights.length ? localModel(content) : remoteModel(content));
  window.app = app;  // tests and scripts find the application here
  openTheme(app);
  openStage(app);
  for (const [name, section] of Object.entries(content.sections)) {
    if (section === null) continue;
    const root = document.getElementById(name), failed = error => showError(root, "This part of the page failed", error);
    // Promise, since opening may end later
    new Promise(done => done(open[name](root, section, forSection(app, failed)))).catch(failed);
  }
  return app.decode();
}

// what a section has asked of a server and does not catch; the next picture clears it
addEventListener("unhandledrejection", event => {
  if (!event.reason?.isRefusal) return;
  event.preventDefault();
  document.getElementById("status").textContent = `Not shown: ${event.reason.message}`;
});
openCopy();
// after the first paint
requestAnimationFrame(() => setTimeout(async () => {
  try { await start(); } catch (error) { showError(document.getElementById("stage"), "This page cannot decode", error); }
  document.documentElement.dataset.ready = "";
}));
