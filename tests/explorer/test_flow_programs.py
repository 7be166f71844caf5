"""Programs of flows: each layer, both directions and the density are those of the model."""

from types import SimpleNamespace

import pytest
import torch
from in_browser import open_model, open_modules, plain_values
from torch import nn

from gdl.explorer.bijections import BIJECTIONS, Way, plain_layers
from gdl.explorer.graph import Graph, Weights
from gdl.explorer.layers import Inexpressible
from gdl.explorer.programs import check, programs
from gdl.explorer.weights import rounded
from gdl.flows import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    Flatten,
    MixtureCoupling,
    MixtureLogit,
    Permutation,
    Scale,
    Standardize,
    Whitening,
    initialize,
    sigmoid_scale,
)
from gdl.flows.stacked import VectorCouplings
from gdl.models import NICE, Gaussian, RealNVP
from gdl.nn.coupling_networks import VectorConditioner


def coupling(kind, swap, numbers=1, *args):
    """A coupling of 5 dimensions: 3 in the first half, 2 in the second."""
    stays, moves = (2, 3) if swap else (3, 2)
    return kind(VectorConditioner(stays, numbers * moves, [7, 6]), *args, swap=swap)


LAYERS = {
    "flatten": lambda: Flatten([5]),
    "permutation": lambda: Permutation([3, 0, 4, 1, 2]),
    "scale": lambda: Scale([5]),
    "actnorm": lambda: ActNorm(5),
    "standardize": lambda: Standardize(5),
    "whitening": lambda: Whitening(5),
    "mixture_logit": lambda: MixtureLogit(5, 4),
    "affine_stack": lambda: VectorCouplings(5, 3, [7, 6]),
    "additive_stack": lambda: VectorCouplings(5, 4, [7, 6], affine=False, init_range=0.3),
    "affine_even": lambda: VectorCouplings(4, 3, [7]),
    **{
        f"{name}_{swap}": lambda kind=kind, swap=swap, rest=rest: coupling(kind, swap, *rest)
        for name, kind, rest in (
            ("additive", AdditiveCoupling, ()),
            ("affine", AffineCoupling, (2,)),
            ("mixture", MixtureCoupling, (9, 3)),
        )
        for swap in (False, True)
    },
}


def filled(module, std=0.4):
    """The module with parameters that are not those of the start."""
    for p in module.parameters():
        nn.init.normal_(p, std=std)
    return module


def test_every_layer_has_a_case():
    made = {type(layer) for make in LAYERS.values() for layer in plain_layers(make())}
    assert made == set(BIJECTIONS)


def layer_graphs(name):
    """A layer with random parameters, graphs there and back, their weights, and data (40, D)."""
    torch.manual_seed(0)
    layer = LAYERS[name]()
    d = 4 if "even" in name else 5
    x = 1.5 * torch.randn(40, d) + 0.3
    initialize(layer, x)
    filled(layer)
    layers, weights = plain_layers(layer), Weights()
    there, back = Graph(["h"], weights), Graph(["h"], weights)
    way = Way(there, d, log_dets=[])
    there.outputs["h"] = way.through(layers, 0)
    if (log_det := way.log_det()) is not None:
        there.outputs["log_det"] = log_det
    back.outputs["h"] = Way(back, d, inverse=True).through(layers, 0)
    return layer, there, back, weights, x


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_written_out_is_the_layer(name):
    layer, there, back, _, x = layer_graphs(name)
    with torch.inference_mode():
        z, own = layer(x)
        found = there.run({"h": x})
        torch.testing.assert_close(found["h"], z, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            found.get("log_det", torch.zeros(40)), own, rtol=1e-4, atol=1e-4
        )
        torch.testing.assert_close(back.run({"h": z})["h"], layer.inverse(z), rtol=1e-4, atol=1e-4)


def test_the_browser_runs_layers_as_pytorch_does(chromium):
    tab = open_modules(chromium)
    for name in LAYERS:
        _, there, back, weights, x = layer_graphs(name)
        x[-5:] *= 20  # the tails
        open_model(tab, SimpleNamespace(levels=None), {"there": there, "back": back}, weights)
        tensors = rounded(weights.tensors)
        for program, graph in (("there", there), ("back", back)):
            found = tab.evaluate(
                "([name, x]) => run_program(name, x)", [program, plain_values({"h": x})]
            )
            own = graph.run({"h": x}, tensors)
            assert found.keys() == own.keys()
            for output, value in own.items():
                assert found[output]["shape"] == [*value.shape]
                got = torch.tensor(found[output]["data"]).view_as(value)
                torch.testing.assert_close(
                    got, value, rtol=1e-3, atol=1e-3, msg=f"{name} {program}"
                )
    tab.close()


def vectors(d=2, **options):
    return RealNVP([d], None, num_couplings=3, hidden=[8], **options)


MODELS = {
    "affine": vectors,
    "mixture": lambda: vectors(coupling="mixture", mixtures=3),
    "whitened": lambda: vectors(standardize=True, whiten=True),
    "line": lambda: vectors(1, mixtures=3),
    "conditional": lambda: vectors(num_classes=3),
    "no_label": lambda: vectors(num_classes=3, label_dropout=0.2),
    "five": lambda: vectors(5, coupling="mixture", mixtures=3),
    "nice": lambda: NICE([2], None, hidden=[8], init_range=0.3),
    "nice_images": lambda: NICE([1, 4, 3], 17, hidden=[8, 8], init_range=0.1),
    "gaussian": lambda: Gaussian([2], None),
    "gaussian_images": lambda: Gaussian([1, 3, 3], 256, num_classes=2),
}


def small(name):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    shape = (300, *model.shape)
    x = torch.randn(shape) if model.levels is None else torch.randint(0, model.levels, shape)
    model.initialize(x if model.levels is None else x.to(torch.uint8))
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return model, x[:50]


@pytest.mark.parametrize("name", MODELS)
def test_a_flow_written_out_encodes_and_decodes_as_the_model(name):
    model, x = small(name)
    graphs, _ = programs(model)
    with torch.inference_mode():
        z = graphs["encode"].run({"x": x})["mean"]
        torch.testing.assert_close(z, model.encode(x), rtol=1e-3, atol=1e-3)
        image = graphs["decode"].run({"z": z})["image"]
        torch.testing.assert_close(image, model.decode(z), rtol=1e-3, atol=2e-3)
        torch.testing.assert_close(image, x.float(), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", [n for n in MODELS if MODELS[n]().shape in {(1,), (2,)}])
def test_the_layers_of_a_flow_add_up_to_its_density(name):
    model, x = small(name)
    graphs, _ = programs(model)
    count = len(plain_layers(model.bijection))
    assert f"layer{count + 1}" not in graphs
    for y in range(model.label_rows or 1):
        labels = {"y": torch.full((50,), float(y))} if model.num_classes else {}
        h, total, stops = x, torch.zeros(50), [x]
        for k in range(1, count + 1):
            found = graphs[f"layer{k}"].run({"h": h})
            h, total = found["h"], total + found.get("log_det", 0)
            stops.append(h)
        log_p = total + graphs["log_prior"].run({"z": h, **labels})["log_p"]
        with torch.inference_mode():
            rows = model.class_prior
            prior = model.prior.log_prob(h) if rows is None else rows.log_prob(h, torch.tensor(y))
            torch.testing.assert_close(h, model.encode(x), rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(log_p, prior + model.bijection(x)[1], rtol=1e-3, atol=1e-3)
            if rows is not None:
                placed = graphs["place"].run({"e": x, **labels})["z"]
                torch.testing.assert_close(placed, rows.place(x, torch.full((50,), y)))
        for k in range(count, 0, -1):
            back = graphs[f"unlayer{k}"].run({"h": stops[k]})["h"]
            torch.testing.assert_close(back, stops[k - 1], rtol=1e-3, atol=1e-3)


def test_each_parameter_is_kept_once_for_both_directions():
    model = MODELS["nice_images"]()
    model.initialize(torch.randint(0, 17, (50, 1, 4, 3), dtype=torch.uint8))
    _, weights = programs(model)
    kept = sum(t.numel() for t in weights.tensors)
    assert kept <= sum(p.numel() for p in model.parameters()) + 2 * model.num_dims


class Own(ActNorm):
    """A subclass, which may compute something else."""


@pytest.mark.parametrize(
    "layer",
    [Own(5), coupling(AffineCoupling, False, 2)],
    ids=["subclass", "scale"],
)
def test_what_the_page_cannot_run_names_the_way_out(layer):
    if isinstance(layer, AffineCoupling):
        layer.scale = sigmoid_scale
    with pytest.raises(Inexpressible, match="--serve"):
        Way(Graph(["h"], Weights()), 5).through(plain_layers(Chain([layer])), 0)


def test_a_flow_of_convolutions_names_the_way_out():
    with pytest.raises(Inexpressible, match=r"Logit.*--serve"):
        programs(RealNVP([1, 8, 8], 17, width=4, blocks=1))


class Shifted(RealNVP):
    """A flow whose density is another than that of its layers."""

    def log_prob(self, x, y=None):
        return super().log_prob(x) + 0.01


@pytest.mark.parametrize("fault", ["method", "layer", "prior"])
def test_a_density_that_the_layers_do_not_give_is_refused(fault):
    torch.manual_seed(0)
    model = (Shifted if fault == "method" else RealNVP)([2], None, num_couplings=2, hidden=[8])
    x = torch.randn(50, 2)
    model.eval().initialize(x)
    graphs, weights = programs(model)
    if fault != "method":
        check(model, graphs, weights, x[:8])
    if fault == "layer":
        del graphs["layer1"].outputs["log_det"]
    elif fault == "prior":
        next(n for n in graphs["log_prior"].nodes if n["op"] == "affine")["scale"] *= 0.9
    with pytest.raises(Inexpressible, match="log_prob"):
        check(model, graphs, weights, x[:8])
