// The page: its model, what is always there, and its sections. The writer calls openPage, with the modules that a page needs.
import { openApp } from "./app.js";
import { openStage } from "./stage.js";
import { openTheme } from "./theme.js";
import { openCopy } from "./copy.js";

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

function start(modelOf, openers) {
  const content = JSON.parse(document.getElementById("content").textContent);
  const app = openApp(content, modelOf(content));
  window.app = app;  // tests and scripts find the application here
  openTheme(app);
  openStage(app);
  for (const [name, section] of Object.entries(content.sections)) {
    if (section === null) continue;
    const root = document.getElementById(name), failed = error => showError(root, "This part of the page failed", error);
    // Promise, since opening may end later
    new Promise(done => done(openers[name](root, section, forSection(app, failed)))).catch(failed);
  }
  return app.decode();
}

// Opens the page after its first paint: `modelOf(content)` gives the model, `openers` what opens each section, by its name.
export function openPage(modelOf, openers) {
  openCopy();
  requestAnimationFrame(() => setTimeout(async () => {
    try { await start(modelOf, openers); } catch (error) { showError(document.getElementById("stage"), "This page cannot decode", error); }
    document.documentElement.dataset.ready = "";
  }));
}
