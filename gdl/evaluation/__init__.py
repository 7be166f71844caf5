"""Numbers that are too slow for a test step."""

from gdl.evaluation.classifier import Classifier, classifier_for
from gdl.evaluation.distances import (
    autoencoder_distances,
    fit_mixture,
    frechet_distance,
    kernel_distance,
)
from gdl.evaluation.divergence import divergence, exact_nll
from gdl.evaluation.evaluate import evaluate
from gdl.evaluation.flow import dequantization_bound, inversion
from gdl.evaluation.latent import active_units, importance_weighted_bound, rate_distortion

__all__ = [
    "Classifier",
    "active_units",
    "autoencoder_distances",
    "classifier_for",
    "dequantization_bound",
    "divergence",
    "evaluate",
    "exact_nll",
    "fit_mixture",
    "frechet_distance",
    "importance_weighted_bound",
    "inversion",
    "kernel_distance",
    "rate_distortion",
]
