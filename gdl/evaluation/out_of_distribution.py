"""How well scores of a model tell foreign images from its own."""

import sys
from collections.abc import Mapping, Sequence

from torch import Tensor

from gdl.capabilities import Incapable
from gdl.data.base import ImageData
from gdl.evaluation.detection import detection_with_errors
from gdl.evaluation.held_out import held_out
from gdl.evaluation.host import Host
from gdl.evaluation.outliers.images import Images, Setting
from gdl.evaluation.outliers.others import other_images
from gdl.evaluation.outliers.scoring import Score, chosen, training_sample
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.pictures import subject
from gdl.plots import save_scores

__all__ = ["ood"]

DEFAULT = ("noise", "constant", "inverted")
"""The foreign images where no data are named."""


def ood(
    model: GenerativeModel,
    data: ImageData,
    host: Host,
    scores: Mapping[str, Score],
    only: Sequence[str] | None = None,
    fit: str | Sequence[str] | None = None,
    num_fit: int = 5000,
    resamples: int = 500,
    k: int = 1,
    batch_size: int = 500,
    seed: int = 0,
    limit: int | None = None,
) -> dict[str, float]:
    """Return how well each score tells the test images of other data from the run's test images.

    The keys are test/ood/{data}/{score}/{number} with the numbers of `detection_with_errors`, and
    test/ood/{data}/images, the number of foreign images; test/ood/k is k. {data} also says how they
    were brought to the run's shape and levels, see `fitted_name`. For each data set a picture is
    written, ood-{data}.png: histograms of each score, and the ROC curves.

    Args:
        model: In eval mode.
        data: What it was trained on.
        host: Knows the names of the other data; without any they are `DEFAULT`.
        scores: Functions (images, train) by name, see `gdl.evaluation.outliers`.
        only: Names of the scores to take, each of which is then asked for; None for all that the
            model and the data allow.
        fit: How images of another shape are brought to the run's, see `fitted`.
        num_fit: Training images that the scores take their statistics from; all if there are fewer.
        resamples: Bootstrap samples of the intervals.
        k: Samples per image of an nll that is a bound.
        batch_size: Images at a time.
        seed: Seeds all draws.
        limit: Only the first so many test images of each data set.

    Raises:
        Incapable: No score is possible, or one that was asked for is not; or other data do not fit.
        GdlError: A name or a number is none.
    """
    at_least_one("resamples", resamples)
    wanted = chosen(scores, only)
    foreign = _foreign(data, host, fit, seed, limit)
    pictures = {name: host.file(f"ood-{name}.png") for name in foreign}
    setting = Setting(host.open_run, k, batch_size, seed)
    train = training_sample(model, data, setting, num_fit)
    own = Images(model, held_out(data, limit), setting, "test images")
    left_out: dict[str, str] = {}

    def scored(x: Images) -> dict[str, Tensor]:
        """Return the scores that are possible."""
        values = {}
        for label, score in wanted.items():
            try:
                values[label] = score(x, train)
            except Incapable as e:
                left_out[label] = f"measure=ood asks for the score {label}, and {e}"
                if only is not None:
                    raise Incapable(left_out[label]) from e
        return values

    of_own = scored(own)
    if not of_own:
        raise Incapable(next(iter(left_out.values())))
    metrics: dict[str, float] = {"test/ood/k": k}
    for name, x in foreign.items():
        of_set = scored(Images(model, x, setting, name))
        pairs = {label: (of_own[label], of_set[label]) for label in of_set if label in of_own}
        metrics[f"test/ood/{name}/images"] = len(x)
        for label, (a, b) in pairs.items():
            numbers = detection_with_errors(a, b, resamples, seed)
            metrics |= {f"test/ood/{name}/{label}/{key}": v for key, v in numbers.items()}
        save_scores(pairs, pictures[name], name, subject(model.config))
    for sentence in left_out.values():
        print(f"note: left out: {sentence}", file=sys.stderr)
    return metrics


def _foreign(
    data: ImageData, host: Host, fit: str | Sequence[str] | None, seed: int, limit: int | None
) -> dict[str, Tensor]:
    """Return the foreign images by name; all are looked at before the long work."""
    found = {}
    for name in host.names or DEFAULT:
        label, x = other_images(name, data, host, fit, seed, limit)
        found[label] = x
    return found
