"""Bijections with their log-determinants, as in the papers."""

from gdl.flows.base import Bijection, Chain, DataInitialized, initialize
from gdl.flows.coupling import (
    LOWEST,
    WIDEST,
    AdditiveCoupling,
    AffineCoupling,
    HalvesCoupling,
    clipped,
    move,
    move_back,
    sigmoid_scale,
    tanh_log_scale,
    tanh_scale,
)
from gdl.flows.dequantize import Affine, Logit, UniformDequantization
from gdl.flows.glow import GlowConditioner, GlowStep
from gdl.flows.linear import ActNorm, Conv1x1, mix_channels
from gdl.flows.masked import MaskedCoupling, checkerboard
from gdl.flows.mixture import Mixture, MixtureCoupling, MixtureLogit
from gdl.flows.multiscale import MultiScale, SplitPrior, Squeeze
from gdl.flows.priors import ClassPrior, LogisticPrior, NormalPrior, Prior
from gdl.flows.variational import VariationalDequantization
from gdl.flows.vectors import Flatten, Permutation, Scale, Standardize, Whitening, first_maps

__all__ = [
    "LOWEST",
    "WIDEST",
    "ActNorm",
    "AdditiveCoupling",
    "Affine",
    "AffineCoupling",
    "Bijection",
    "Chain",
    "ClassPrior",
    "Conv1x1",
    "DataInitialized",
    "Flatten",
    "GlowConditioner",
    "GlowStep",
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
    "Standardize",
    "UniformDequantization",
    "VariationalDequantization",
    "Whitening",
    "checkerboard",
    "clipped",
    "first_maps",
    "initialize",
    "mix_channels",
    "move",
    "move_back",
    "sigmoid_scale",
    "tanh_log_scale",
    "tanh_scale",
]
