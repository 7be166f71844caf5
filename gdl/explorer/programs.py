"""What a page computes with a model, as graphs: encode, decode, distortion."""

import torch
from torch import Tensor

from gdl.distributions import Bernoulli, DiscretizedLogistic
from gdl.explorer.graph import Graph, Weights
from gdl.explorer.layers import Inexpressible, written
from gdl.families.base import GenerativeModel
from gdl.families.variational import VariationalModel
from gdl.models import Autoencoder

__all__ = ["programs"]


def programs(model: GenerativeModel) -> tuple[dict[str, Graph], Weights]:
    """Return the graphs of a model by name, and their weights.

    encode: x (B, C, H, W) of levels, y (B,) if conditional -> mean (B, M), and log_std of a VAE.
    decode: z (B, M), y -> image (B, C, H, W), real numbers in [0, levels - 1].
    distortion: x, z, y -> nats (B,), of a VAE: -log p(x | z).

    Raises:
        Inexpressible: The page cannot run this model.
    """
    weights = Weights()
    if isinstance(model, VariationalModel):
        return _variational(model, weights), weights
    if isinstance(model, Autoencoder):
        return _autoencoder(model, weights), weights
    raise Inexpressible(
        f"The page cannot run a {type(model).__name__}: let Python decode, with gdl explore --serve."
    )


def _autoencoder(model: Autoencoder, weights: Weights) -> dict[str, Graph]:
    encode, decode = Graph(["x"], weights), Graph(["z"], weights)
    encode.outputs["mean"] = written(model.encoder, encode, _scaled(model, encode))
    assert model.levels is not None
    half, h = (model.levels - 1) / 2, written(model.decoder, decode, 0)
    h = decode.add("affine", h, scale=half, shift=half)
    decode.outputs["image"] = decode.add("clamp", h, low=0, high=model.levels - 1)
    return {"encode": encode, "decode": decode}


def _variational(model: VariationalModel, weights: Weights) -> dict[str, Graph]:
    encode, decode = Graph(["x"], weights), Graph(["z"], weights)
    m = model.latent_shape[0]
    h = written(model.encoder, encode, _scaled(model, encode))
    encode.outputs["mean"] = encode.add("narrow", h, start=0, length=m)
    log_std = encode.add("narrow", h, start=m, length=m)
    encode.outputs["log_std"] = encode.add("clamp", log_std, low=-9, high=9)
    params = decode.add(
        "add_tensor", written(model.decoder, decode, 0), tensors={"tensor": model.offset}
    )
    decode.outputs["image"] = _mean(model, decode, params)
    return {"encode": encode, "decode": decode}


def _mean(model: VariationalModel, graph: Graph, params: int) -> int:
    likelihood = model.likelihood
    if type(likelihood) is Bernoulli:
        return graph.add("sigmoid", params)
    if type(likelihood) is DiscretizedLogistic:
        half = (likelihood.levels - 1) / 2
        h = graph.add("narrow", params, start=0, length=likelihood.shape[0])
        h = graph.add("affine", h, scale=half, shift=half)
        return graph.add("clamp", h, low=0, high=likelihood.levels - 1)
    raise Inexpressible(
        f"The page cannot run the likelihood {type(likelihood).__name__}: let Python decode, with gdl "
        "explore --serve."
    )


def _scaled(model: GenerativeModel, graph: Graph) -> int:
    """Append what `GenerativeModel.scale` does to the first input."""
    assert model.levels is not None
    return graph.add("affine", 0, scale=2 / (model.levels - 1), shift=-1)


def check(model: GenerativeModel, graphs: dict[str, Graph], x: Tensor) -> None:
    """Compare the graphs with the model itself on images, so that no page shows another model.

    Raises:
        Inexpressible: They differ, as those of a subclass with methods of its own would.
    """
    with torch.inference_mode():
        z = model.encode(x)  # pyright: ignore
        own = model.decode(z)  # pyright: ignore
        mean = graphs["encode"].run({"x": x})["mean"]
        image = graphs["decode"].run({"z": z})["image"]
    if not (torch.allclose(mean, z, 1e-3, 1e-3) and torch.allclose(image, own, 0, 0.5)):
        raise Inexpressible(
            f"{type(model).__name__} computes something else than its family, so the page cannot run "
            "it: let Python decode, with gdl explore --serve."
        )
