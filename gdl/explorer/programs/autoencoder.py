"""Programs of autoencoders without a density: encode and decode."""

from gdl.capabilities import Incapable
from gdl.explorer.graph import Graph, Weights
from gdl.explorer.layers import written
from gdl.explorer.programs.inputs import graph_of, labelled_codes, labelled_images, scaled
from gdl.models import Autoencoder, DenoisingAutoencoder
from gdl.models.denoising_autoencoder import NO_CODE

__all__ = ["autoencoder", "denoising_autoencoder"]


def autoencoder(model: Autoencoder, weights: Weights) -> dict[str, Graph]:
    """Return encode and decode."""
    encode, decode = graph_of(model, weights, "x"), graph_of(model, weights, "z")
    inputs = labelled_images(model, encode, model.label_input)
    encode.outputs["mean"] = written(model.encoder, encode, inputs)
    h = written(model.decoder, decode, labelled_codes(decode, model.label_code))
    decode.outputs["image"] = _unscaled(model, decode, h)
    return {"encode": encode, "decode": decode}


def denoising_autoencoder(model: DenoisingAutoencoder, weights: Weights) -> dict[str, Graph]:
    """Return encode, of clean images, and decode.

    Raises:
        Incapable: The network is a U-Net, which has no code.
    """
    if model.encoder is None or model.decoder is None:
        raise Incapable(NO_CODE)
    encode, decode = graph_of(model, weights, "x"), graph_of(model, weights, "z")
    x = scaled(model, encode)
    if model._masks:
        holes = encode.add("narrow", x, start=0, length=1)
        x = encode.add("concat", x, encode.add("affine", holes, scale=0, shift=0))
    encode.outputs["mean"] = written(model.encoder, encode, x)
    decode.outputs["image"] = _unscaled(model, decode, written(model.decoder, decode, 0))
    return {"encode": encode, "decode": decode}


def _unscaled(model: Autoencoder | DenoisingAutoencoder, graph: Graph, h: int) -> int:
    """Append the step from about [-1, 1] to [0, levels - 1]."""
    assert model.levels is not None
    half = (model.levels - 1) / 2
    h = graph.add("affine", h, scale=half, shift=half)
    return graph.add("clamp", h, low=0, high=model.levels - 1)
