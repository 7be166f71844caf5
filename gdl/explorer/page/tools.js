// The tools beside the sheet: undo, eraser, width, colours, and how what is drawn is brought to the shape of the data.

const PALETTE = {black: "#000000", white: "#ffffff", red: "#c8282d", orange: "#e58a2b", yellow: "#f0d04a", green: "#3f8a3a", blue: "#2c62b4",
  sky: "#a9cde8", brown: "#7a5230", skin: "#e3b18f"};

const hexOf = values => `#${values.map(v => Math.round(255 * v).toString(16).padStart(2, "0")).join("")}`;

// Opens the tools of a section. `doing` has `width` of the sheet, and functions: changed, undo, redo, clear, picture() on the sheet.
// Returns {stroke(), fits(), background() per channel in [0, 1], paper() as a colour, show(drawing)}.
export function openTools(root, content, channels, doing) {
  const button = name => root.querySelector(`[data-do=${name}]`), input = name => root.querySelector(`[data-of=${name}]`);
  const eraser = button("eraser"), [fit, invert, colour, background] = ["fit", "invert", "colour", "background"].map(input);
  const inColour = channels > 1;
  for (const name of ["undo", "redo", "clear"]) button(name).addEventListener("click", doing[name]);
  eraser.addEventListener("click", () => eraser.setAttribute("aria-pressed", eraser.getAttribute("aria-pressed") !== "true"));
  root.addEventListener("keydown", event => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase(), name = key === "y" || key === "z" && event.shiftKey ? "redo" : key === "z" ? "undo" : null;
    if (!name) return;
    event.preventDefault();
    doing[name]();
  });

  fit.closest("label").hidden = invert.closest("label").hidden = inColour;
  fit.checked = content.strokes;
  fit.addEventListener("change", doing.changed);
  invert.addEventListener("change", () => {
    doing.picture().inverted = invert.checked;
    doing.changed();
  });
  if (inColour) openPalette(root, colour);
  background.value = hexOf(inColour ? content.paper : [0, 0, 0]);
  background.addEventListener("input", doing.changed);

  return {
    stroke() {
      const erases = eraser.getAttribute("aria-pressed") === "true", width = doing.width * input("width").value / 100;
      return {colour: inColour ? colour.value : null, erases, width: erases ? 1.5 * width : width};  // no rim is left
    },
    fits: () => !inColour && fit.checked,
    background: () => inColour ? [1, 3, 5].map(at => parseInt(background.value.slice(at, at + 2), 16) / 255) : content.paper,
    paper: () => background.value,
    show(drawing) {
      const can = drawing.can(), picture = drawing.picture();
      button("undo").disabled = !can.undo;
      button("redo").disabled = !can.redo;
      invert.disabled = !picture;
      invert.checked = !!picture?.inverted;
    },
  };
}

// Fills the palette; a choice goes to the input of the pen's colour.
function openPalette(root, colour) {
  root.querySelector(".colours").hidden = false;
  const buttons = Object.entries(PALETTE).map(([name, value]) => {
    const button = Object.assign(document.createElement("button"), {type: "button", title: name});
    button.setAttribute("aria-label", name);
    button.style.background = value;
    button.addEventListener("click", () => choose(value));
    root.querySelector(".palette").append(button);
    return [button, value];
  });
  const choose = value => {
    colour.value = value;
    for (const [button, own] of buttons) button.setAttribute("aria-pressed", own === value);
  };
  colour.addEventListener("input", () => choose(colour.value));
  choose(PALETTE.black);
}
