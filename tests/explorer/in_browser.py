"""The page's modules in a browser without a page around them."""

from gdl.explorer.weights import packed
from gdl.explorer.writer import FOLDER, IMPORT, modules

SCRIPT = """
const plain = value => ({shape: value.shape, data: Array.from(value.data)});
const value = ({shape, data}) => tensor(shape, Float32Array.from(data));
const values = o => Object.fromEntries(Object.entries(o).map(([k, v]) => [k, value(v)]));
const plainValues = o => Object.fromEntries(Object.entries(o).map(([k, v]) => [k, plain(v)]));
window.op = (name, inputs, options, tensors) =>
  plain(KNOWN_OPS[name](inputs.map(value), {...options, ...values(tensors)}));
window.open_model = content => { window.content = content; window.model = localModel(content); };
window.run_program = async (name, inputs) => plainValues(await model.run(name, values(inputs)));
window.terms_of = async (x, y) => {
  const {reconstruction, ...found} = await terms({content, model, y}, value(x));
  return found;
};
window.rate_of = (mean, logStd) => rate(mean, logStd);
window.draws_of = (seed, count) => Array.from(normals(seed, count));
"""


def open_modules(chromium):
    """Return a tab with functions that run operations and programs."""
    script = modules("model")
    for name in ("draws", "terms"):
        script += IMPORT.sub("", (FOLDER / f"{name}.js").read_text()).replace("\nexport ", "\n")
    tab = chromium.new_page()
    tab.add_script_tag(content=script + SCRIPT)
    return tab


def plain(tensor):
    """Return a tensor as the page's functions take it."""
    return {"shape": [*tensor.shape], "data": tensor.flatten().tolist()}


def plain_values(values):
    """Return named tensors as the page's functions take them."""
    return {name: plain(t) for name, t in values.items()}


def open_model(tab, model, graphs, weights):
    """Make a model the one whose programs `run_program` runs."""
    content = {
        "levels": model.levels,
        "programs": {name: graph.plain() for name, graph in graphs.items()},
        "weights": [packed(weights.tensors)],
    }
    tab.evaluate("open_model", content)
