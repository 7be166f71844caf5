"""AUROC, AUPR and FPR at 95 % TPR against scikit-learn, and what their intervals promise."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import Tensor

from gdl.evaluation.detection import METRICS, _curves, _in_order, detection, detection_with_errors

INF = math.inf


def by_hand(own: list[float], foreign: list[float]) -> dict[str, float]:
    return detection(torch.tensor(own), torch.tensor(foreign))


def reference(own: Tensor, foreign: Tensor, weights: np.ndarray | None = None) -> list[float]:
    y = np.repeat([0, 1], [len(own), len(foreign)])
    s = torch.cat([own, foreign]).numpy()
    fpr, tpr, _ = roc_curve(y, s, sample_weight=weights, drop_intermediate=False)
    return [
        float(roc_auc_score(y, s, sample_weight=weights)),
        float(average_precision_score(y, s, sample_weight=weights)),
        float(fpr[np.argmax(tpr >= 0.95 - 1e-12)]),
    ]


@pytest.mark.parametrize(
    ("own", "foreign", "numbers"),
    [
        ([1, 2], [3, 4], (1, 1, 0)),
        ([3, 4], [1, 2], (0, (1 / 3 + 2 / 4) / 2, 1)),
        ([1, 2, 3, 4], [2.5, 2.5], (0.5, 0.5, 0.5)),
        ([0, 0], [0, 0, 0, 0], (0.5, 4 / 6, 1)),
        ([1, INF], [INF, INF], (0.75, 2 / 3, 0.5)),
        ([-INF, 1], [1, INF], (0.875, 0.5 * 1 + 0.5 * 2 / 3, 0.5)),
        ([1, math.nan], [INF, math.nan], (0.625, 0.5 * 0.5 + 0.5 * 2 / 3, 0.5)),
    ],
)
def test_numbers_by_hand(own: list, foreign: list, numbers: tuple) -> None:
    assert tuple(by_hand(own, foreign).values()) == pytest.approx(numbers)


@pytest.mark.parametrize("ties", [1, 3, 1000])
@pytest.mark.parametrize("sizes", [(1, 1), (7, 40), (200, 60)])
def test_numbers_are_those_of_scikit_learn(ties: int, sizes: tuple[int, int]) -> None:
    g = torch.Generator().manual_seed(ties)
    own, foreign = (torch.randint(ties, (n,), generator=g).double() for n in sizes)
    foreign += 0.2 * ties * (torch.rand(sizes[1], generator=g) < 0.5)
    found = detection(own, foreign)
    assert list(found) == list(METRICS)
    assert list(found.values()) == pytest.approx(reference(own, foreign))


def test_a_bootstrap_sample_is_a_weighted_sample_of_scikit_learn() -> None:
    g = torch.Generator().manual_seed(0)
    own, foreign = torch.randint(9, (30,), generator=g), torch.randint(2, 12, (20,), generator=g)
    own, foreign = own.double(), foreign.double()
    ends, is_foreign = _in_order(own, foreign)
    weights = np.random.default_rng(0).integers(0, 4, (5, 50)).astype(float)
    found = _curves(weights, is_foreign, ends)
    scores = torch.cat([own, foreign]).numpy()
    order = np.lexsort((-scores,))
    for i in range(5):
        of_images = np.empty(50)
        of_images[order] = weights[i]
        assert found[:, i].tolist() == pytest.approx(reference(own, foreign, of_images))


def test_a_monotone_map_of_the_scores_changes_nothing() -> None:
    g = torch.Generator().manual_seed(1)
    own, foreign = torch.randn(50, generator=g), torch.randn(50, generator=g) + 1
    assert detection(own, foreign) == detection((own * 5).exp(), (foreign * 5).exp())
    turned = detection(-own, -foreign)["auroc"]
    assert detection(own, foreign)["auroc"] + turned == pytest.approx(1)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """For N(0, 1) and N(1, 1) the AUROC is Phi(1 / sqrt 2)."""
    truth = 0.5 * (1 + math.erf(1 / 2))
    g = torch.Generator().manual_seed(2)
    covered = 0
    for _ in range(200):
        own, foreign = torch.randn(100, generator=g), torch.randn(100, generator=g) + 1
        found = detection_with_errors(own, foreign, 100)
        assert found["auroc_low"] <= found["auroc"] <= found["auroc_high"]
        covered += found["auroc_low"] <= truth <= found["auroc_high"]
    assert 0.88 <= covered / 200 <= 0.99


def test_the_seed_alone_decides_the_interval() -> None:
    own, foreign = torch.arange(30.0), torch.arange(20.0) + 12
    one = detection_with_errors(own, foreign, 50, seed=3)
    assert one == detection_with_errors(own, foreign, 50, seed=3)
    assert one != detection_with_errors(own, foreign, 50, seed=4)
    assert set(one) == {f"{name}{end}" for name in METRICS for end in ("", "_low", "_high")}


def test_both_sets_of_images_are_drawn_anew() -> None:
    """Where one set is a single value, the width comes from the other: of a binomial of 100 images."""
    spread, one = torch.tensor([0.0, 2.0] * 50), torch.ones(100)
    for own, foreign in ((spread, one), (one, spread)):
        found = detection_with_errors(own, foreign, 400)
        width = found["auroc_high"] - found["auroc_low"]
        assert width == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 100), rel=0.2)
