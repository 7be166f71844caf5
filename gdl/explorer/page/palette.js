// Colours of classes: ten that people with a colour deficiency can tell apart as well as ten can be (after M. Petroff, 2021,
// arXiv 2107.02270), lighter on a dark page. Classes beyond ten are drawn as rings in the same colours.
import { colourOf } from "./theme.js";

const LIGHT = ["#3f90da", "#e8920c", "#bd1f01", "#7f8f8d", "#832db6", "#a96b59", "#e76300", "#a3985a", "#5d616d", "#4fb4b8"];
const DARK = ["#5aa9ee", "#ffb733", "#ee4b33", "#aebdbb", "#b06fe6", "#cc9080", "#ff8a3c", "#cfc48c", "#8f94a3", "#a3e6e9"];

// Returns whether the page is dark now, whoever decided it.
export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// Returns the colour of a class by its number; of an unknown one, -1, a grey.
export const colourOfClass = k => k < 0 ? colourOf("--muted") : (isDark() ? DARK : LIGHT)[k % 10];

// Returns whether a class is drawn as a ring.
export const isRing = k => k >= 10 && Math.floor(k / 10) % 2 === 1;
