// The switch between the colours of the system, light and dark.

// Brings the switch to life: sets data-theme of the page, and tells the event "theme", at which canvases are drawn again.
export function openTheme(app) {
  const key = "gdl-theme", root = document.documentElement, inputs = [...document.querySelectorAll("#theme input")];
  const show = theme => {
    theme ? root.dataset.theme = theme : delete root.dataset.theme;
    app.tell("theme");
  };
  for (const input of inputs) {
    input.addEventListener("change", () => {
      show(input.value);
      try { localStorage.setItem(key, input.value); } catch { /* a file may have no storage */ }
    });
  }
  let kept = null;
  try { kept = localStorage.getItem(key); } catch { /* likewise */ }
  const chosen = inputs.find(input => input.value === kept);
  if (chosen && kept) {
    chosen.checked = true;
    show(kept);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => app.tell("theme"));
}

// Returns a colour of base.css by its name, e.g. "--fore", as it is now.
export const colourOf = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
