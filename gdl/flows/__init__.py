"""Bijections with their log-determinants, as in the papers."""

from gdl.flows.base import Bijection, Chain, DataInitialized, initialize
from gdl.flows.coupling import (
    LOWEST,
    WIDEST,
    AdditiveCoupling,
    AffineCoupling,
    HalvesCoupling,
    MaskedCoupling,
    checkerboard,
    clipped,
    move,
    move_back,
    sigmoid_scale,
    tanh_log_scale,
    tanh_scale,
)
from gdl.flows.dequantize import Affine, Logit, UniformDequantization, VariationalDequantization
from gdl.flows.linear import (
    ActNorm,
    Conv1x1,
    Permutation,
    Scale,
    inverse_matrices,
    matrices,
    mix_channels,
    random_rotations,
)
from gdl.flows.mixture import Mixture, MixtureCoupling, MixtureLogit
from gdl.flows.priors import LogisticPrior, NormalPrior, Prior
from gdl.flows.reshape import Flatten, MultiScale, SplitPrior, Squeeze

__all__ = [
    "LOWEST",
    "WIDEST",
    "ActNorm",
    "AdditiveCoupling",
    "Affine",
    "AffineCoupling",
    "Bijection",
    "Chain",
    "Conv1x1",
    "DataInitialized",
    "Flatten",
    "HalvesCoupling",
    "LogisticPrior",
    "Logit",
    "MaskedCoupling",
    "Mixture",
    "MixtureCoupling",
    "MixtureLogit",
    "MultiScale",
    "NormalPrior",
    "Permutation",
    "Prior",
    "Scale",
    "SplitPrior",
    "Squeeze",
    "UniformDequantization",
    "VariationalDequantization",
    "checkerboard",
    "clipped",
    "initialize",
    "inverse_matrices",
    "matrices",
    "mix_channels",
    "move",
    "move_back",
    "random_rotations",
    "sigmoid_scale",
    "tanh_log_scale",
    "tanh_scale",
]
