const COLOURS = ["#3b86c8", "#e0803a", "#3c9f62", "#cc5064", "#8d72cc", "#a07d3e", "#d470b2", "#4fa3a8", "#a9a02c", "#7286a0"];
const sections = JSON.parse(document.getElementById("numbers").textContent);
const unchecked = new Set(), filtered = new Set();  // ids of runs that no figure shows
const isShown = run => !unchecked.has(run.id) && !filtered.has(run.id);

// plotly reads tags and entities in texts; those of a run are to be seen as they are
const literal = text => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const short = (text, most = 42) => literal(text.length > most ? text.slice(0, most - 1) + "…" : text);
const colour = run => run.rank < COLOURS.length * 2 && run.curves.length ? COLOURS[run.rank % COLOURS.length] : "#8a919a";
// the model, and what differs where several runs are of one model
const name = (section, run) => section.runs.filter(other => other.model === run.model).length === 1 ? run.model : run.label;
const checked = (root, name) => root.querySelector(`input[name="${name}"]:checked`).value;

function plot(element, traces, axes) {
  const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = options => ({gridcolor: style("--line"), linecolor: style("--line"), zeroline: false, automargin: true, ...options});
  Plotly.react(element, traces, {
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: {color: style("--fore"), size: 12},
    margin: {t: 10, r: 15, b: 45, l: 55}, hovermode: "closest", hoverlabel: {align: "left"}, uirevision: axes.x.title.text,
    showlegend: traces.filter(t => t.showlegend !== false && t.visible !== false).length <= 12,
    legend: {orientation: "h", yref: "container", y: 0, yanchor: "bottom"}, modebar: {bgcolor: "transparent", color: style("--muted"), activecolor: style("--fore")}, xaxis: axis(axes.x), yaxis: axis(axes.y),
  }, {displaylogo: false, displayModeBar: "hover", responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]]});
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
        type: "scatter", mode: curve[stage].step.length > 1 ? "lines" : "markers", name: short(name(section, run), 26), legendgroup: run.id,
        showlegend: main && k === 0, visible: isShown(run) && (x === "step" || timed(run)), meta: run.id,
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

// Returns where the name of each point stands, so that names hide neither points nor each other where possible.
// A point is {x, y, text} in pixels. At most 40 names are placed, since more could not be read.
function namePositions(points, width) {
  const tall = 14, away = 9, boxes = points.map(p => [p.x - 6, p.y - 6, p.x + 6, p.y + 6]);
  const overlap = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  return points.map((p, own) => {
    const long = 6.4 * p.text.length;
    const left = {left: p.x - long - away, center: p.x - long / 2, right: p.x + away};
    const top = {top: p.y - tall - away, middle: p.y - tall / 2, bottom: p.y + away};
    const choices = ["middle right", "top center", "bottom center", "middle left", "top right", "bottom right", "top left", "bottom left"].map(place => {
      const [v, h] = place.split(" "), box = [left[h], top[v], left[h] + long, top[v] + tall];
      const outside = Math.max(0, -box[0]) + Math.max(0, box[2] - width);
      return {place, box, cost: 20 * outside + boxes.reduce((sum, other, i) => sum + (i === own ? 0 : overlap(box, other)), 0)};
    });
    const best = choices.reduce((a, b) => b.cost < a.cost ? b : a);
    boxes.push(best.box);
    return best.place;
  });
}

function drawFront(section, root) {
  const cost = checked(root, `cost-${section.id}`), steady = section.steady.includes(cost), element = root.querySelector(".plot");
  root.querySelector(".steady").hidden = !steady;
  root.querySelector(".unsteady").hidden = steady;
  const runs = section.runs.filter(run => isShown(run) && run.value !== null && run.costs[cost] > 0);
  runs.sort((a, b) => a.costs[cost] - b.costs[cost]);
  // the ranges are set here, because the places of the names depend on them
  const range = values => {
    const low = Math.min(...values), high = Math.max(...values), pad = 0.12 * (high - low) || 0.5;
    return runs.length ? [low - pad, high + pad] : [0, 1];
  };
  const xs = range(runs.map(run => Math.log10(run.costs[cost]))), ys = range(runs.map(run => run.value));
  const width = element.clientWidth - 75, height = element.clientHeight - 95;
  const places = namePositions(runs.map(run => ({
    x: (Math.log10(run.costs[cost]) - xs[0]) / (xs[1] - xs[0]) * width, y: (ys[1] - run.value) / (ys[1] - ys[0]) * height,
    text: short(name(section, run), 26),
  })), width);
  const place = new Map(runs.map((run, i) => [run.id, places[i]]));
  const front = runs.filter(run => run.front.includes(cost)), others = runs.filter(run => !run.front.includes(cost));
  const points = (which, title, options) => ({
    type: "scatter", name: title, x: which.map(run => run.costs[cost]), y: which.map(run => run.value), meta: which.map(run => run.id),
    text: which.map(run => short(name(section, run), 26)), textposition: which.map(run => place.get(run.id)), textfont: {size: 11}, cliponaxis: false,
    customdata: which.map(run => `${short(run.label)}<br>${short(run.name)}<br>${literal(run.kind)}`),
    hovertemplate: "%{y:.4f}, %{x:,.6~g}<br>%{customdata}<extra></extra>", ...options,
  });
  plot(element, [
    points(front, "Pareto-optimal", {
      mode: "lines+markers+text", line: {color: "#8a919a", width: 1, dash: "dot", shape: "hv"},
      marker: {color: front.map(colour), size: 12, symbol: "diamond"},
    }),
    points(others, steady ? "others" : "runs", {
      mode: "markers+text", marker: {color: others.map(colour), size: 8, symbol: "circle-open", line: {width: 2}},
    }),
  ].filter(trace => trace.x.length), {
    x: {title: {text: section.costs[cost]}, type: "log", range: xs, autorange: false, nticks: 6, tickangle: 0}, y: {title: {text: `test ${section.unit}`}, range: ys, autorange: false},
  });
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
  const rows = [...root.querySelectorAll(".differences tbody tr")];
  for (const row of rows) {
    const cells = [...row.querySelectorAll("td")].filter(cell => !cell.hidden);
    row.hidden = cells.every(cell => cell.textContent === cells[0].textContent);
  }
  const table = root.querySelector(".differences");
  if (table) table.closest("details").hidden = rows.every(row => row.hidden);
}

// Brings rows, pictures, columns of the configurations and plots of a section up to date.
function refresh(section, root) {
  for (const run of section.runs) {
    const row = root.querySelector(`tr[data-run="${run.id}"]`);
    row.hidden = filtered.has(run.id);
    row.querySelector("input").checked = !unchecked.has(run.id);
    for (const part of root.querySelectorAll(`[data-of="${run.id}"]`)) part.hidden = !isShown(run);
  }
  for (const samples of root.querySelectorAll(".samples")) {
    samples.parentNode.hidden = [...samples.children].every(figure => figure.hidden);
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
    for (const row of rows) event.target.checked ? unchecked.delete(Number(row.dataset.run)) : unchecked.add(Number(row.dataset.run));
    refresh(section, root);
  });
  const parts = [[".curves", drawCurves], [".front", drawFront], [".plane", drawPlane]].map(([name, draw]) => [root.querySelector(name), draw]);
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
    const root = document.getElementById(section.id), title = root.querySelector("h2").textContent;
    for (const run of section.runs) {
      const text = `${title} ${root.querySelector(`tr[data-run="${run.id}"]`).textContent} ${run.name}`.toLowerCase();
      words.every(word => text.includes(word)) ? filtered.delete(run.id) : filtered.add(run.id);
    }
    root.hidden = section.runs.every(run => filtered.has(run.id));
    document.querySelector(`nav a[href="#${section.id}"]`).hidden = root.hidden;
    refresh(section, root);
  }
  document.getElementById("nothing").hidden = sections.some(section => !document.getElementById(section.id).hidden);
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const section of sections) document.getElementById(section.id).redraw?.();
});
