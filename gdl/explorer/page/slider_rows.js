// The rows of the sliders: name, slider, value, and what the latent carries.

const made = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);
const signed = v => v.toFixed(2).replace("-", "−");

// Returns {add(root, latents), show(z)}; `moved(latent, value)` is called while a slider moves, `rested()` when it is let go.
export function openRows(content, moved, rested) {
  const rows = new Map(), {kind, worth, low, high} = content, most = Math.max(...worth) || 1;
  const text = v => kind === "kl" ? `${v.toFixed(2)} nats` : `${(100 * v).toFixed(1)} %`;

  function add(root, latents) {
    for (const j of latents) {
      const row = made("div", {className: "sliders_row"}), id = `slider_${j}`;
      const input = made("input", {type: "range", id, min: low[j], max: high[j], step: (high[j] - low[j]) / 120, title: `${low[j]} to ${high[j]}`});
      const value = made("output"), amount = made("span", {className: "sliders_worth", id: `${id}_worth`});
      const bar = made("i"), part = made("b");
      part.style.width = `${100 * Math.max(0, worth[j]) / most}%`;
      bar.append(part);
      amount.append(made("span", {textContent: text(worth[j])}), bar);
      value.setAttribute("for", id);
      value.setAttribute("aria-live", "off");
      input.setAttribute("aria-label", `latent z${j}`);
      input.setAttribute("aria-describedby", amount.id);
      input.addEventListener("input", () => moved(j, Number(input.value)));
      input.addEventListener("change", rested);
      row.append(made("label", {textContent: `z${j}`, htmlFor: id}), input, value, amount);
      root.append(row);
      rows.set(j, {input, value});
    }
  }

  return {
    add,
    show(z) {
      for (const [j, {input, value}] of rows) {
        input.value = z[j];  // a code beyond the ends leaves the slider there; the number says where it is
        value.textContent = signed(z[j]);
        input.setAttribute("aria-valuetext", z[j].toFixed(2));
      }
    },
  };
}
