"""Networks as graphs: every layer in PyTorch, every operation in a browser."""

import json
import random

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from gdl.explorer.graph import Graph, Weights
from gdl.explorer.layers import LAYERS, Inexpressible, written
from gdl.explorer.ops import OPS
from gdl.explorer.writer import modules
from gdl.nn import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder, VectorConditioner
from gdl.nn.conv import ResBlock
from gdl.nn.dropout import Dropout
from gdl.nn.labels import LabelledCodes, LabelledImages
from gdl.nn.linear import Linear
from gdl.nn.mlp import ACTIVATIONS, ResidualLayer


def random_network(seed):
    """Return a row of the table with an encoder or a decoder of random settings."""
    rng = random.Random(seed)
    patch = rng.choice([1, 1, 2, 3])
    shape = (rng.randint(1, 5), patch * rng.randint(1, 11), patch * rng.randint(1, 11))
    act, n = rng.choice([*ACTIVATIONS]), rng.randint(1, 9)
    if seed % 4 < 3:
        kind, first = rng.choice([(ConvEncoder, shape), (ConvDecoder, None)])
        settings = (rng.randint(1, 9), rng.randint(0, 2), patch, rng.randint(1, 5), 13, act)
    else:
        kind, first = rng.choice([(MLPEncoder, shape), (MLPDecoder, None)])
        hidden = [rng.choice([6, 7]) for _ in range(rng.randint(0, 3))]
        settings = (hidden, act, rng.random() < 0.5)
    sizes = (n, shape) if first is None else (shape, n)
    return lambda: kind(*sizes, *settings), [(rng.randint(1, 4), *(first or (n,)))]


LAYER_TABLE = {
    "linear": (lambda: nn.Linear(7, 5), [(3, 7)]),
    "linear without bias": (lambda: nn.Linear(3, 4, bias=False), [(2, 3)]),
    "gdl linear": (lambda: Linear(9, 6), [(3, 9)]),
    "linear of spectral norm": (lambda: parametrizations.spectral_norm(nn.Linear(4, 4)), [(3, 4)]),
    "conv": (lambda: nn.Conv2d(3, 5, 3, padding=1), [(2, 3, 7, 6)]),
    "conv 1x1": (lambda: nn.Conv2d(4, 2, 1), [(2, 4, 5, 3)]),
    "conv 1x1 of stride": (lambda: nn.Conv2d(4, 2, 1, stride=2), [(2, 4, 5, 3)]),
    "conv of stride": (lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), [(1, 3, 9, 8)]),
    "conv rectangular": (lambda: nn.Conv2d(2, 3, (2, 5), (1, 3), (1, 2)), [(2, 2, 6, 8)]),
    "conv same": (lambda: nn.Conv2d(2, 3, 5, padding="same"), [(2, 2, 6, 7)]),
    "conv same even": (lambda: nn.Conv2d(2, 3, (4, 2), padding="same"), [(2, 2, 6, 7)]),
    "conv valid": (lambda: nn.Conv2d(2, 3, 3, padding="valid"), [(2, 2, 5, 3)]),
    "conv 3x3, padded across": (lambda: nn.Conv2d(3, 2, 3, padding=(0, 1)), [(2, 3, 9, 10)]),
    "conv 3x3, padded down": (lambda: nn.Conv2d(2, 5, 3, padding=(2, 0)), [(3, 2, 4, 3)]),
    "conv 3x3 of stride": (lambda: nn.Conv2d(2, 5, 3, (1, 2), padding=1), [(3, 2, 4, 6)]),
    "conv padded twice": (lambda: nn.Conv2d(1, 1, 3, padding=2), [(2, 1, 1, 4)]),
    **{f"{name}": (kind, [(3, 500)]) for name, kind in ACTIVATIONS.items()},
    "sigmoid": (nn.Sigmoid, [(2, 9)]),
    "softplus": (nn.Softplus, [(2, 9)]),
    "elu 0.5": (lambda: nn.ELU(0.5), [(2, 9)]),
    "leaky relu": (nn.LeakyReLU, [(2, 9)]),
    "leaky relu 0.2": (lambda: nn.LeakyReLU(0.2), [(2, 9)]),
    "identity": (nn.Identity, [(2, 3, 4)]),
    "dropout": (lambda: nn.Dropout(0.5), [(2, 3, 4)]),
    "dropout of maps": (lambda: nn.Dropout2d(0.5), [(2, 3, 4, 4)]),
    "gdl dropout": (lambda: Dropout(0.5), [(2, 3, 4)]),
    "flatten": (nn.Flatten, [(2, 3, 4, 5)]),
    "flatten -3": (lambda: nn.Flatten(-3), [(2, 3, 4, 5)]),
    "flatten 2 to -2": (lambda: nn.Flatten(2, -2), [(2, 3, 4, 5, 2)]),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), [(2, 8, 3, 4)]),
    "pixel unshuffle": (lambda: nn.PixelUnshuffle(3), [(2, 2, 6, 9)]),
    "sequence": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh()), [(2, 4)]),
    "residual": (lambda: ResidualLayer(6, "gelu"), [(3, 6)]),
    "block": (lambda: ResBlock(4, "relu"), [(2, 4, 5, 6)]),
    "block of kernel 3": (lambda: ResBlock(5, "elu", 3), [(2, 5, 7, 4)]),
    "conditioner": (lambda: VectorConditioner(3, 5, [8, 8]), [(4, 3)]),
    "mlp encoder": (lambda: MLPEncoder((3, 5, 4), 6, [9, 9], residual=True), [(2, 3, 5, 4)]),
    "mlp decoder": (lambda: MLPDecoder(4, (2, 5, 3), [9, 9], "tanh"), [(2, 4)]),
    "mlp without hidden": (lambda: MLPDecoder(4, (2, 5, 3), []), [(2, 4)]),
    "conv encoder": (lambda: ConvEncoder((1, 28, 28), 6, 4), [(2, 1, 28, 28)]),
    "conv encoder, odd": (lambda: ConvEncoder((3, 13, 9), 6, 4, 2, 1, 2, 8, "gelu"), [(2, 3, 13, 9)]),
    "conv encoder, patch": (lambda: ConvEncoder((2, 12, 15), 6, 4, 1, 3), [(1, 2, 12, 15)]),
    "conv decoder": (lambda: ConvDecoder(5, (2, 28, 28), 4), [(2, 5)]),
    "conv decoder, odd": (lambda: ConvDecoder(5, (3, 13, 9), 4, 2, 1, 2, 8, "elu"), [(2, 5)]),
    "conv decoder, patch": (lambda: ConvDecoder(5, (2, 12, 15), 4, 1, 3), [(2, 5)]),
    "conv decoder, no blocks": (lambda: ConvDecoder(5, (1, 8, 40), 3, 0), [(2, 5)]),
    **{f"random network {i}": random_network(i) for i in range(12)},
    "labelled images": (lambda: LabelledImages(3, (2, 4, 4)), [(5, 2, 4, 4), "labels"]),
    "labelled codes": (lambda: LabelledCodes(3), [(5, 4), "labels"]),
}  # fmt: skip
"""Layers, and the shapes of what they take."""

OP_TABLE = {
    "exp": ([(2, 30)], {}),
    "log": (["positive"], {}),
    "abs": ([(2, 30)], {}),
    **{f"{op} of extremes": (["extreme"], {}) for op in (*ACTIVATIONS, "sigmoid", "softplus")},
    **{f"{op} of extremes": (["extreme"], {"axis": 1}) for op in ("softmax", "logsumexp")},
    "sub": ([(2, 3, 4), (2, 3, 4)], {}),
    "mul": ([(2, 3, 4), (2, 3, 4)], {}),
    "maximum": ([(2, 3, 4), (2, 3, 4)], {}),
    "add_tensor": ([(2, 3, 4)], {"tensor": (3, 4)}),
    "mul_tensor": ([(2, 3, 4)], {"tensor": (3, 4)}),
    "affine": ([(2, 3)], {"scale": 1.5, "shift": -0.25}),
    "clamp": ([(2, 50)], {"low": -0.5, "high": 1}),
    "rows": (["labels"], {"tensor": (3, 2, 2)}),
    "concat": ([(2, 3, 4), (2, 1, 4), (2, 2, 4)], {}),
    "narrow": ([(3, 5, 2, 2)], {"start": 1, "length": 3}),
    "take": ([(3, 4, 2)], {"order": [2, 0, 3, 3, 1]}),
    "resize": ([(2, 3, 5, 4)], {"size": [7, 11]}),
    "softmax": ([(3, 4, 5)], {"axis": 1}),
    "softmax -1": ([(3, 4, 5)], {"axis": -1}),
    "logsumexp": ([(3, 4, 5)], {"axis": 1}),
    "logsumexp 2": ([(3, 4, 5)], {"axis": 2}),
    "sum": ([(3, 4, 5)], {}),
    "sum of vectors": ([(3, 4)], {}),
}
"""Operations that are no layer, or have options that no layer uses: shapes of values, and options."""


def drawn(shape):
    if shape == "labels":
        return torch.tensor([2, 0, 1, 1, 0])
    if shape == "positive":
        return torch.rand(3, 50) * 5 + 1e-3
    if shape == "extreme":
        large = torch.tensor([1e-20, 1e-3, 1.0, 10.0, 80.0, 100.0, 800.0, 1e4])
        return torch.stack([large, -large])
    return torch.randn(shape) * 3


def module_graph(name):
    """Return a graph of a layer with random weights, its inputs, and the output of the layer."""
    torch.manual_seed(0)
    build, shapes = LAYER_TABLE[name]
    module, inputs = build().eval(), [drawn(s) for s in shapes]
    for p in module.parameters():  # nothing starts at zero
        nn.init.normal_(p, std=0.5 / max(1, p[0].numel() if p.dim() > 1 else 1) ** 0.5)
    graph = Graph([str(i) for i in range(len(inputs))], Weights())
    graph.outputs["y"] = written(module, graph, *range(len(inputs)))
    with torch.inference_mode():
        return graph, inputs, module(*inputs)


def op_graph(name):
    """Return a graph of an operation, its inputs, and its result."""
    torch.manual_seed(0)
    shapes, options = OP_TABLE[name]
    inputs = [drawn(s) for s in shapes]
    tensors = {k: drawn(v) for k, v in options.items() if k == "tensor"}
    rest = {k: v for k, v in options.items() if k != "tensor"}
    graph = Graph([str(i) for i in range(len(inputs))], Weights())
    op = name.partition(" ")[0]
    graph.outputs["y"] = graph.add(op, *range(len(inputs)), tensors=tensors, **rest)
    return graph, inputs, OPS[op](*inputs, **tensors, **rest)


def all_graphs():
    return {**{n: module_graph(n) for n in LAYER_TABLE}, **{n: op_graph(n) for n in OP_TABLE}}


@pytest.mark.parametrize("name", LAYER_TABLE)
def test_the_graph_of_a_layer_computes_what_the_layer_does(name):
    graph, inputs, own = module_graph(name)
    found = graph.run(dict(zip(graph.inputs, inputs, strict=True)))["y"]
    assert found.shape == own.shape
    torch.testing.assert_close(found, own, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_type_is_computed_in_float32(dtype):
    module, x = ConvEncoder((1, 8, 8), 3, 4).to(dtype), torch.randn(2, 1, 8, 8)
    graph = Graph(["x"], Weights())
    graph.outputs["y"] = written(module, graph, 0)
    with torch.inference_mode():
        own = module.float()(x)
    torch.testing.assert_close(graph.run({"x": x.to(dtype)})["y"], own, rtol=2e-2, atol=2e-2)


def test_a_changed_forward_pass_is_refused():
    hooked, replaced = nn.ReLU(), nn.ReLU()
    hooked.register_forward_hook(lambda module, args, out: out + 1)
    replaced.forward = lambda x: x + 1
    for module in (hooked, replaced):
        with pytest.raises(Inexpressible, match="forward pass was changed"):
            written(module, Graph(["x"], Weights()), 0)


def test_every_layer_and_every_operation_is_tested():
    kinds = {type(m) for build, _ in LAYER_TABLE.values() for m in build().modules()}
    assert set(LAYERS) - kinds == set()
    used = {node["op"] for graph, _, _ in all_graphs().values() for node in graph.nodes}
    assert set(OPS) - used == set()


CALL = """rows => rows.map(({graph, tensors, inputs}) => {
  const value = ({shape, data}) => tensor(shape, Float32Array.from(data));
  const named = Object.fromEntries(graph.inputs.map((name, i) => [name, value(inputs[i])]));
  const {shape, data} = runGraph(graph, tensors.map(value), named).y;
  return {shape, data: [...data]};
})"""


def plain(t):
    return {"shape": [*t.shape], "data": t.detach().float().flatten().tolist()}


def test_the_browser_computes_what_pytorch_does(chromium):
    graphs = all_graphs()
    rows = [
        {
            "graph": graph.plain(),
            "tensors": [plain(t) for t in graph.weights.tensors],
            "inputs": [plain(x) for x in inputs],
        }
        for graph, inputs, _ in graphs.values()
    ]
    tab = chromium.new_page()
    tab.set_content("<p>")
    tab.add_script_tag(
        content=modules("network") + "\nwindow.runGraph = run; window.tensor = tensor;"
    )
    found = tab.evaluate(CALL, json.loads(json.dumps(rows)))
    tab.close()
    wrong = {}
    for (name, (_, _, own)), got in zip(graphs.items(), found, strict=True):
        assert got["shape"] == [*own.shape], name
        error = (torch.tensor(got["data"]) - own.flatten()).abs()
        # single numbers, and small ones beside the largest
        if not (error <= 1e-4 * own.flatten().abs() + 2e-6 * own.abs().max()).all():
            wrong[name] = float(error.max())
    assert wrong == {}


REFUSED = {
    "dilation": lambda: nn.Conv2d(2, 2, 3, dilation=2),
    "groups": lambda: nn.Conv2d(2, 2, 3, groups=2),
    "padding_mode": lambda: nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
    "approximate": lambda: nn.GELU("tanh"),
    "beta": lambda: nn.Softplus(2),
    "batch": lambda: nn.Flatten(0),
    "LSTM": lambda: nn.LSTM(3, 3),
    "Own": lambda: type("Own", (nn.Linear,), {})(3, 3),
    "inside": lambda: nn.Sequential(nn.ReLU(), nn.Sequential(nn.BatchNorm1d(3))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_operation_covers_is_refused(name):
    with pytest.raises(Inexpressible, match=r"^The page cannot run .* --serve.$") as caught:
        written(REFUSED[name](), Graph(["x"], Weights()), 0)
    assert "\n" not in str(caught.value)
    assert name == "inside" or name in str(caught.value)
