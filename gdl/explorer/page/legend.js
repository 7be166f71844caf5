// The legend of a map: a button for each class, which hides and shows it; the pointer or the focus on it makes the others faint.
import { colourOfClass, isRing } from "./palette.js";

// Returns {isShown(i), isFaint(i), colour()} of test images i; `changed` is called when it changes. `content` has labels and names.
export function openLegend(root, content, changed) {
  const {labels, names} = content, hidden = new Set(), buttons = [];
  let looked = null;
  const classes = labels ? [...names.keys(), ...(labels.includes(-1) ? [-1] : [])] : [];
  const colour = () => buttons.forEach(([button, k]) => {
    const dot = button.firstChild;
    dot.style.borderColor = colourOfClass(k);
    dot.style.background = isRing(k) ? "none" : colourOfClass(k);
  });
  const show = (button, k, shown) => {
    shown ? hidden.delete(k) : hidden.add(k);
    button.setAttribute("aria-pressed", shown);
  };
  const look = k => { if (looked !== k) { looked = k; changed(); } };
  for (const k of classes) {
    const button = Object.assign(document.createElement("button"), {type: "button"}), name = document.createElement("bdi");
    name.textContent = names[k] ?? "unknown";
    button.append(document.createElement("i"), name);
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => { show(button, k, hidden.has(k)); changed(); });
    for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => look(k));
    for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => look(null));
    buttons.push([button, k]);
    root.append(button);
  }
  if (classes.length > 2) {
    for (const [text, shown] of [["all", true], ["none", false]]) {
      const button = Object.assign(document.createElement("button"), {type: "button", textContent: text});
      button.addEventListener("click", () => { buttons.forEach(([b, k]) => show(b, k, shown)); changed(); });
      root.append(button);
    }
  }
  colour();
  return {
    colour,
    isShown: i => !labels || !hidden.has(labels[i]),
    isFaint: i => looked !== null && !hidden.has(looked) && labels[i] !== looked,
  };
}
