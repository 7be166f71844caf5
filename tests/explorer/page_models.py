"""Small models of every kind that a page can run, with random weights."""

from functools import partial
from itertools import product

import torch

from gdl import models
from gdl.corruptions import MissingPixels
from gdl.distributions import (
    Bernoulli,
    Categorical,
    DiscretizedGaussian,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
)
from gdl.nn.conv import ConvDecoder, ConvEncoder
from gdl.nn.mlp import MLPDecoder, MLPEncoder

MLP = {"hidden": (20, 20), "residual": True}
CONV = {"channels": 4, "max_channels": 8}
NETWORKS = {
    "mlp": {"encoder": partial(MLPEncoder, **MLP), "decoder": partial(MLPDecoder, **MLP)},
    "conv": {"encoder": partial(ConvEncoder, **CONV), "decoder": partial(ConvDecoder, **CONV)},
    "conv_patch": {
        "encoder": partial(ConvEncoder, patch=2, smallest=2, act="gelu", **CONV),
        "decoder": partial(ConvDecoder, patch=2, smallest=2, act="gelu", **CONV),
    },
}
DATA = {"binary": ((1, 8, 8), 2), "digits": ((1, 8, 8), 17), "rgb": ((3, 6, 10), 32)}
DATA |= {"bytes": ((3, 8, 8), 256)}
LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "gaussian": DiscretizedGaussian,
    "learned": partial(DiscretizedGaussian, variance="learned"),
    "logistic": DiscretizedLogistic,
    "mixture": partial(DiscretizedLogisticMixture, num_mixtures=3),
}
LABELS = {
    "": {},
    "labels": {"num_classes": 3},
    "labels or none": {"num_classes": 70, "label_dropout": 0.1},
}
FAMILIES = {
    "Autoencoder": {},
    "VAE": {},
    "IWAE": {"num_importance_samples": 5},
    "BetaTCVAE": {},
    "FactorVAE": {"discriminator": [8]},
    "DenoisingAutoencoder": {},
    "masks": {"corruption": MissingPixels()},
}
CLASSES = {"IWAE": "VAE", "masks": "DenoisingAutoencoder"}


def build(family, network, data, likelihood=None, labels=""):
    """Return a model in eval mode, all of its parameters with random numbers added."""
    shape, levels = DATA[data]
    options = {**FAMILIES[family], **NETWORKS[network], **LABELS[labels], "latent_dim": 5}
    if likelihood is not None:
        options["likelihood"] = LIKELIHOODS[likelihood]
    torch.manual_seed(0)
    model = getattr(models, CLASSES.get(family, family))(shape, levels, **options).eval()
    for p in model.parameters():
        # of a size that keeps the scale of what a layer passes on
        p.data += torch.randn_like(p) / (p[0].numel() ** 0.5 if p.dim() > 1 else 10)
    if (
        likelihood == "categorical"
    ):  # else all levels are about as likely, and all means the middle
        for p in [*model.decoder.parameters()][-2:]:
            p.data *= 4
    return model


def images_of(model, n):
    """Return n random images, and labels, -1 where the model can do without; None without labels."""
    x = torch.randint(0, model.levels, (n, *model.shape), dtype=torch.uint8)
    if not model.num_classes:
        return x, None
    return x, torch.randint(-1 if model.label_dropout else 0, model.num_classes, (n,))


def all_rows():
    """Return every combination that exists, as arguments of `build`."""
    rows = []
    for family, network, data, labels in product(FAMILIES, NETWORKS, DATA, LABELS):
        if family in ("DenoisingAutoencoder", "masks"):
            rows += [] if labels else [(family, network, data, None, "")]
        elif family == "Autoencoder":
            rows.append((family, network, data, None, labels))
        else:
            names = [k for k in LIKELIHOODS if k != "bernoulli" or data == "binary"]
            rows += [(family, network, data, name, labels) for name in names]
    return rows
