"""Programs of flows on vectors: encode and decode; in the plane, each layer by itself."""

import math

from gdl.explorer.bijections import Way, plain_layers
from gdl.explorer.graph import Graph, Weights
from gdl.explorer.layers import Inexpressible
from gdl.families.flow import FlowModel
from gdl.flows.base import Bijection
from gdl.flows.coupling import tanh_log_scale
from gdl.flows.priors import LogisticPrior, NormalPrior

__all__ = ["flow"]


def flow(model: FlowModel, weights: Weights) -> dict[str, Graph]:
    """Return the graphs of a flow on vectors, or on images as vectors, by name.

    encode: x -> mean (B, D), all latents; a pixel stands for the middle of its cell.
    decode: z (B, D) -> image. Neither has labels as an input.

    In one or two dimensions also, of K layers, with what leaves layer k called h_k, and h_0 = x:
    layer1, ..., layerK: h_{k-1} -> h (B, D), its image h_k, and log_det (B,), left out where it is 0.
    unlayer1, ..., unlayerK: h_k -> h (B, D), which is h_{k-1}.
    log_prior: z, y if conditional -> log_p (B,) in nats.
    place, of a conditional flow: e (B, D) of the prior that all classes share, y -> z (B, D).

    Raises:
        Inexpressible: The page cannot run a layer of it.
    """
    layers = plain_layers(model.bijection)
    encode, decode = Graph(["x"], weights), Graph(["z"], weights)
    x = 0 if model.levels is None else _middle(encode, model.levels)
    encode.outputs["mean"] = Way(encode, model.num_dims).through(layers, x)
    v = Way(decode, model.num_dims, inverse=True).through(layers, 0)
    decode.outputs["image"] = v if model.levels is None else _levels(decode, v, model.levels)
    found = {"encode": encode, "decode": decode}
    if model.shape in {(1,), (2,)}:
        for k, layer in enumerate(layers, 1):
            found[f"layer{k}"], found[f"unlayer{k}"] = _layer(model, layer, weights)
        found |= _priors(model, weights)
    return found


def _middle(graph: Graph, levels: int) -> int:
    """Append what `FlowModel.middle` does to the first input."""
    return graph.add("affine", 0, scale=1 / levels, shift=0.5 / levels)


def _levels(graph: Graph, v: int, levels: int) -> int:
    """Append what `FlowModel.decode` does to a continuous image."""
    image = graph.add("affine", v, scale=levels, shift=-0.5)
    return graph.add("clamp", image, low=0, high=levels - 1)


def _layer(model: FlowModel, layer: Bijection, weights: Weights) -> tuple[Graph, Graph]:
    """Return a layer by itself, forwards with its log-determinant, and backwards."""
    there, back = Graph(["h"], weights), Graph(["h"], weights)
    way = Way(there, model.num_dims, log_dets=[])
    there.outputs["h"] = way.through([layer], 0)
    if (log_det := way.log_det()) is not None:
        there.outputs["log_det"] = log_det
    back.outputs["h"] = Way(back, model.num_dims, inverse=True).through([layer], 0)
    return there, back


def _priors(model: FlowModel, weights: Weights) -> dict[str, Graph]:
    prior = model.class_prior
    if prior is None:
        graph = Graph(["z"], weights)
        graph.outputs["log_p"] = _log_prob(model, graph, 0)
        return {"log_prior": graph}
    graph, place = Graph(["z", "y"], weights), Graph(["e", "y"], weights)
    log_scale = tanh_log_scale(prior.raw_log_scale, prior.BOUND)
    centred = graph.add("add", 0, graph.add("rows", 1, tensors={"tensor": -prior.mean}))
    e = graph.add("mul", centred, graph.add("rows", 1, tensors={"tensor": (-log_scale).exp()}))
    stretch = graph.add("rows", 1, tensors={"tensor": -log_scale.sum(1)})
    graph.outputs["log_p"] = graph.add("add", _log_prob(model, graph, e), stretch)
    far = place.add("mul", 0, place.add("rows", 1, tensors={"tensor": log_scale.exp()}))
    mean = place.add("rows", 1, tensors={"tensor": prior.mean})
    place.outputs["z"] = place.add("add", far, mean)
    return {"log_prior": graph, "place": place}


def _log_prob(model: FlowModel, graph: Graph, z: int) -> int:
    """Append the log-density (B,) of latents z (B, D) under the prior that has no classes."""
    if type(model.prior) is NormalPrior:
        squares = graph.add("mul", z, z)
        log_p = graph.add("affine", squares, scale=-0.5, shift=-0.5 * math.log(2 * math.pi))
    elif type(model.prior) is LogisticPrior:
        minus = graph.add("affine", z, scale=-1, shift=0)
        log_p = graph.add("add", graph.add("softplus", z), graph.add("softplus", minus))
        log_p = graph.add("affine", log_p, scale=-1, shift=0)
    else:
        raise Inexpressible(
            f"The page cannot run the prior {type(model.prior).__name__}: let Python decode, with gdl "
            "explore --serve."
        )
    return graph.add("sum", log_p)
