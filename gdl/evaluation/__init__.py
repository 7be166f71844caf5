"""Measures: functions (model, data, **options) -> numbers of metrics.json, too slow for a test step.

A measure asks for a capability of `gdl.capabilities` and refuses a model without it by raising
`Incapable`. Its options stand in a file of conf/measure/. `limit`, which every measure has, is the
command's: only the first so many test images, for a quick look. So is `host`, see `Host`, which
opens other data and other runs and says where files go.
"""

from gdl.evaluation.bayes_rule import class_log_posterior, classify
from gdl.evaluation.classifier import Classifier, classifier_for
from gdl.evaluation.code_rates import codecs
from gdl.evaluation.combination import several
from gdl.evaluation.conditional_bits import conditional
from gdl.evaluation.dequantization_bounds import dequantization, dequantization_bound
from gdl.evaluation.disentangling.measure import disentanglement
from gdl.evaluation.feature_distances import (
    distances,
    fit_mixture,
    frechet_distance,
    kernel_distance,
)
from gdl.evaluation.host import Host
from gdl.evaluation.importance_sampling import importance_weighted_bound, iwae
from gdl.evaluation.invertibility import inversion
from gdl.evaluation.known_density import divergence
from gdl.evaluation.latent_information import latents
from gdl.evaluation.latent_use import active_units
from gdl.evaluation.model_terms import bits, rate_distortion
from gdl.evaluation.out_of_distribution import ood
from gdl.evaluation.parsed_completions import parses
from gdl.evaluation.probing import features
from gdl.evaluation.restored_images import restoration
from gdl.evaluation.scores_of_images import scores
from gdl.evaluation.streams import stream
from gdl.evaluation.translated_pairs import translation

__all__ = [
    "Classifier",
    "Host",
    "active_units",
    "bits",
    "class_log_posterior",
    "classifier_for",
    "classify",
    "codecs",
    "conditional",
    "dequantization",
    "dequantization_bound",
    "disentanglement",
    "distances",
    "divergence",
    "features",
    "fit_mixture",
    "frechet_distance",
    "importance_weighted_bound",
    "inversion",
    "iwae",
    "kernel_distance",
    "latents",
    "ood",
    "parses",
    "rate_distortion",
    "restoration",
    "scores",
    "several",
    "stream",
    "translation",
]
