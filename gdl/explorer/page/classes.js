// The classes of a conditional model, as radio buttons.

// Fills a fieldset with the classes, and "no label" where the model knows one; hidden without any. Returns {show(class)};
// `chosen(class)` is called when one is chosen.
export function openClasses(root, app, chosen) {
  const {classes, no_class: none} = app.content, inputs = new Map();
  const all = [...(classes ?? []).map((name, k) => [k, name]), ...(classes && none != null ? [[none, "no label"]] : [])];
  for (const [k, name] of all) {
    const label = document.createElement("label"), text = document.createElement("span");
    const input = Object.assign(document.createElement("input"), {type: "radio", name: `${root.closest("section").id}_class`, value: k});
    text.textContent = name;
    input.addEventListener("change", () => chosen(k));
    label.append(input, text);
    root.append(label);
    inputs.set(k, input);
  }
  root.hidden = !all.length;
  return {show(k) { if (inputs.has(k)) inputs.get(k).checked = true; }};
}
