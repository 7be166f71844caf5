"""Programs of variational autoencoders: encode, decode and distortion."""

from gdl.explorer.graph import Graph, Weights
from gdl.explorer.layers import written
from gdl.explorer.programs.inputs import graph_of, labelled_codes, labelled_images
from gdl.explorer.programs.likelihoods import log_prob, mean
from gdl.families.variational import VariationalModel

__all__ = ["variational"]


def variational(model: VariationalModel, weights: Weights) -> dict[str, Graph]:
    """Return encode, decode and distortion.

    The page shows the rate KL(q(z | x), N(0, I)), from mean and log_std. As the distortion it shows the
    mean of -log p(x | z) over a few draws z of q(z | x), which `gdl evaluate` estimates with one draw
    for each image. So their sum estimates the negative ELBO, which the distortion of the mean of q
    would not.
    """
    encode = graph_of(model, weights, "x")
    m = model.latent_shape[0]
    h = written(model.encoder, encode, labelled_images(model, encode, model.label_input))
    encode.outputs["mean"] = encode.add("narrow", h, start=0, length=m)
    log_std = encode.add("narrow", h, start=m, length=m)
    encode.outputs["log_std"] = encode.add("clamp", log_std, low=-9, high=9)

    decode = graph_of(model, weights, "z")
    decode.outputs["image"] = mean(model.likelihood, decode, _params(model, decode))

    distortion = graph_of(model, weights, "x", "z")
    nats = log_prob(model.likelihood, distortion, _params(model, distortion), 0)
    distortion.outputs["distortion"] = distortion.add("affine", nats, scale=-1, shift=0)
    return {"encode": encode, "decode": decode, "distortion": distortion}


def _params(model: VariationalModel, graph: Graph) -> int:
    """Append the parameters of the likelihood, given the input "z"."""
    h = written(model.decoder, graph, labelled_codes(graph, model.label_code))
    return graph.add("add_tensor", h, tensors={"tensor": model.offset})
