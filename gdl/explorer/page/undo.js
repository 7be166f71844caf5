// Undo: what latents and class were before each change of a section.

const MOST_STEPS = 200;

// Returns {before(isPart), rest(), back()}: `before` is called in front of each change, those of one drag are one step;
// `back` returns the state {z, y} before the last step, or null. The button is usable where there is one.
export function openUndo(app, button) {
  const steps = [];
  let dragging = false;
  return {
    before(isPart = false) {
      if (!dragging) steps.push({z: app.z.slice(), y: app.y});
      if (steps.length > MOST_STEPS) steps.shift();
      dragging = isPart;
      button.disabled = false;
    },
    rest() { dragging = false; },
    back() {
      dragging = false;
      const state = steps.pop() ?? null;
      button.disabled = !steps.length;
      return state;
    },
  };
}
