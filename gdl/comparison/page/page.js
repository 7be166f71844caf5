"use strict";
const COLOURS = ["#3b86c8", "#e0803a", "#3c9f62", "#cc5064", "#8d72cc", "#a07d3e", "#d470b2", "#4fa3a8", "#a9a02c", "#7286a0"];
const sections = JSON.parse(document.getElementById("numbers").textContent);
const shown = new Set(sections.flatMap(section => section.runs.map(run => run.id)));

// plotly reads tags and entities in texts; those of a run are to be seen as they are
const literal = text => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const short = text => literal(text.length > 42 ? text.slice(0, 41) + "…" : text);
const colour = run => run.rank < COLOURS.length * 2 && run.curves.length ? COLOURS[run.rank % COLOURS.length] : "#8a919a";
const checked = (root, name) => root.querySelector(`input[name="${name}"]:checked`).value;

function plot(element, traces, axes) {
  const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = options => ({gridcolor: style("--line"), linecolor: style("--line"), zeroline: false, automargin: true, ...options});
  Plotly.react(element, traces, {
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: {color: style("--fore"), size: 12},
    margin: {t: 10, r: 15, b: 45, l: 55}, hovermode: "closest", hoverlabel: {align: "left"}, uirevision: axes.x.title.text,
    showlegend: traces.filter(t => t.showlegend !== false && t.visible !== false).length <= 12,
    legend: {orientation: "h", y: -0.2, yanchor: "top"}, xaxis: axis(axes.x), yaxis: axis(axes.y),
  }, {displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"]});
}

function drawCurves(section, root) {
  const term = root.querySelector("select").value;
  const runs = section.runs.filter(run => run.curves.some(c => c.term === term));
  const timed = run => run.curves.every(c => ["train", "val"].every(s => !c[s] || c[s].seconds));
  const untimed = runs.filter(run => !timed(run));
  const choice = checked(root, `x-${section.id}`), x = untimed.length === runs.length ? "step" : choice;
  const traces = [];
  for (const run of runs) {
    run.curves.forEach((curve, k) => ["train", "val"].filter(s => curve[s]).forEach(stage => {
      const main = stage === "val" || !curve.val, seed = run.curves.length > 1 ? `, seed ${curve.seed}` : "";
      traces.push({
        type: "scatter", mode: curve[stage].step.length > 1 ? "lines" : "markers", name: short(run.label), legendgroup: run.id,
        showlegend: main && k === 0, visible: shown.has(run.id) && (x === "step" || timed(run)), meta: run.id,
        x: curve[stage][x] ?? [], y: curve[stage].value, opacity: main ? 1 : 0.4,
        line: {color: colour(run), width: main ? 2 : 1.2, dash: run.rank < COLOURS.length ? "solid" : "dash"},
        hovertemplate: `%{y:.4f} at %{x}<br>${stage}${literal(seed)}, ${short(run.label)}<extra></extra>`,
      });
    }));
  }
  const note = root.querySelector(".note.time");
  note.hidden = choice === "step" || !untimed.length;
  note.textContent = x !== choice
    ? "These runs have no times in metrics.csv, so steps are shown."
    : `Without times in metrics.csv, so only over steps: ${untimed.map(run => run.label).join("; ")}.`;
  plot(root.querySelector(".plot"), traces, {
    x: {title: {text: x === "step" ? "step" : "training time (s)"}}, y: {title: {text: section.terms[term]}},
  });
}

function drawFront(section, root) {
  const cost = checked(root, `cost-${section.id}`);
  const runs = section.runs.filter(run => shown.has(run.id) && run.value !== null && run.costs[cost] > 0);
  const front = runs.filter(run => run.front.includes(cost)).sort((a, b) => a.costs[cost] - b.costs[cost]);
  const points = (which, name, options) => ({
    type: "scatter", name, x: which.map(run => run.costs[cost]), y: which.map(run => run.value), meta: which.map(run => run.id),
    text: which.map(run => `${short(run.label)}<br>${short(run.name)}<br>${literal(run.kind)}`),
    hovertemplate: "%{y:.4f}, %{x:,.6~g}<br>%{text}<extra></extra>", ...options,
  });
  plot(root.querySelector(".plot"), [
    points(front, "Pareto-optimal", {
      mode: "lines+markers", line: {color: "#8a919a", width: 1, dash: "dot", shape: "hv"},
      marker: {color: front.map(colour), size: 12, symbol: "diamond"},
    }),
    points(runs.filter(run => !front.includes(run)), "others", {
      mode: "markers", marker: {color: runs.filter(run => !front.includes(run)).map(colour), size: 8, symbol: "circle-open", line: {width: 2}},
    }),
  ], {x: {title: {text: section.costs[cost]}, type: "log"}, y: {title: {text: `test ${section.unit}`}}});
}

function sortBy(header) {
  const table = header.closest("table"), at = [...header.parentNode.children].indexOf(header);
  const down = header.getAttribute("aria-sort") === "ascending", sign = down ? -1 : 1;
  for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = "numeric" in header.dataset
    ? row => row.cells[at].dataset.value === undefined ? null : Number(row.cells[at].dataset.value)
    : row => row.cells[at].textContent.trim().toLowerCase();
  const keyed = [...table.tBodies[0].rows].map(row => [key(row), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);  // what is unknown stays last
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b, undefined, {numeric: true}));
  });
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}

function showDifferences(root) {
  for (const row of root.querySelectorAll(".differences tbody tr")) {
    const cells = [...row.querySelectorAll("td")].filter(cell => !cell.hidden);
    row.hidden = cells.every(cell => cell.textContent === cells[0].textContent);
  }
}

function toggle(section, root, ids, on) {
  for (const id of ids) {
    on ? shown.add(id) : shown.delete(id);
    root.querySelector(`tr[data-run="${id}"] input`).checked = on;
    for (const part of root.querySelectorAll(`[data-of="${id}"]`)) part.hidden = !on;
  }
  showDifferences(root);
  root.redraw?.();
}

for (const section of sections) {
  const root = document.getElementById(section.id), table = root.querySelector("table");
  for (const run of section.runs) root.querySelector(`tr[data-run="${run.id}"] .swatch`).style.background = colour(run);
  table.tHead.addEventListener("click", event => event.target.matches("button") && sortBy(event.target.closest("th")));
  table.addEventListener("change", event => {
    const rows = event.target.matches(".all") ? [...table.tBodies[0].rows].filter(row => !row.hidden) : [event.target.closest("tr")];
    toggle(section, root, rows.map(row => Number(row.dataset.run)), event.target.checked);
  });
  const parts = [[".curves", drawCurves], [".front", drawFront]].map(([name, draw]) => [root.querySelector(name), draw]);
  for (const [element, draw] of parts) element?.addEventListener("change", () => draw(section, element));
  const redraw = () => parts.forEach(([element, draw]) => element && draw(section, element));
  new IntersectionObserver((seen, observer) => {  // a page of many data sets opens at once
    if (!seen.some(entry => entry.isIntersecting)) return;
    observer.disconnect();
    root.redraw = redraw;
    redraw();
  }, {rootMargin: "800px"}).observe(root);
}

document.getElementById("filter").addEventListener("input", event => {
  const words = event.target.value.toLowerCase().split(/\s+/);
  for (const section of sections) {
    const root = document.getElementById(section.id), rows = [...root.querySelector("table").tBodies[0].rows];
    for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
    root.hidden = rows.every(row => row.hidden);
  }
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const section of sections) document.getElementById(section.id).redraw?.();
});
