"""Scores of how foreign an image is to a model: functions (images, train, **options) -> (N,).

Higher is more foreign, always. `images` and `train` are `Images`: the images to score, and a sample of
the run's training images, from which a score takes its statistics. Both remember what several scores
need, as the nll. A score that asks for more than the model or the data have raises `Incapable`. Its
options stand beside its name in conf/score/default.yaml.
"""

from gdl.evaluation.outliers.complexity import complexity
from gdl.evaluation.outliers.density_of_states import dose
from gdl.evaluation.outliers.ensemble import waic
from gdl.evaluation.outliers.fitting import FITS, fitted
from gdl.evaluation.outliers.images import Images, Setting
from gdl.evaluation.outliers.intrinsic_dimension import dimension
from gdl.evaluation.outliers.likelihood import likelihood
from gdl.evaluation.outliers.likelihood_ratio import ratio
from gdl.evaluation.outliers.likelihood_regret import regret
from gdl.evaluation.outliers.synthetic import SYNTHETIC
from gdl.evaluation.outliers.typicality import typicality

__all__ = [
    "FITS",
    "SYNTHETIC",
    "Images",
    "Setting",
    "complexity",
    "dimension",
    "dose",
    "fitted",
    "likelihood",
    "ratio",
    "regret",
    "typicality",
    "waic",
]
