"""The metrics beside the same ones of disent, on the same codes; skipped where it is not installed.

disent's are those of disentanglement_lib (Locatello et al., 2019, arXiv 1811.12359).
"""

import numpy as np
import pytest
import torch
from test_disentanglement_metrics import CODES, TRAIN, factors, perfect, random
from torch import Tensor

from gdl.evaluation.disentangling.dci import dci
from gdl.evaluation.disentangling.factor_vae_score import factor_vae_score
from gdl.evaluation.disentangling.mig import mig_hist
from gdl.evaluation.disentangling.sap import sap_r2, sap_svc

pytest.importorskip("disent.metrics")

CODES = {**CODES, "noisy": lambda v: perfect(v) + 0.3 * random(len(v), 6, seed=2)}


class Known:
    """The part of disent's data that its metrics ask for: images are rows of codes."""

    def __init__(self, x: Tensor, v: Tensor, seed: int) -> None:
        self.num_factors = 4
        self._v, self._x = v.numpy(), x.double().numpy()
        self._random = np.random.default_rng(seed)
        self.gt_data = self

    def sample_factors(self, n: int) -> np.ndarray:
        return self._v[self._random.integers(len(self._v), size=n)].copy()

    def dataset_sample_batch(self, n: int, mode: str) -> np.ndarray:
        return self._x[:n]

    def dataset_batch_from_factors(self, v: np.ndarray, mode: str) -> np.ndarray:
        return np.stack([self._like(row) for row in v])

    def _like(self, row: np.ndarray) -> np.ndarray:
        """Return the code of a random image with these factors."""
        same = np.flatnonzero((self._v == row).all(1))
        return self._x[self._random.choice(same)]


@pytest.mark.parametrize("code", CODES)
def test_the_numbers_are_those_of_disent(code: str) -> None:
    from disent.metrics._dci import _compute_dci  # pyright: ignore[reportMissingImports]
    from disent.metrics._mig import _compute_mig  # pyright: ignore[reportMissingImports]
    from disent.metrics._sap import _compute_sap  # pyright: ignore[reportMissingImports]

    v = factors()
    x = CODES[code](v).double()
    parts = (x[:TRAIN], v[:TRAIN], x[TRAIN:], v[TRAIN:])
    theirs = [part.T.numpy() for part in parts]
    mig = _compute_mig(*theirs[:2])["mig.discrete_score"]
    svc = _compute_sap(*theirs, False)["sap.score"]
    r2 = _compute_sap(*theirs, True)["sap.score"]
    few = [part[:400] for part in parts]  # boosting is slow
    other = _compute_dci(*(part.T.numpy() for part in few))
    keys = ("disentanglement", "completeness", "informativeness_test")
    found = dci(*few, variant="gbt")
    pairs = {
        "mig_hist20": (float(mig_hist(*parts[:2]).mean()), mig),
        "sap_r2": (float(sap_r2(*parts[:2]).mean()), r2),
        "sap_svc": (float(sap_svc(*parts).mean()), svc),
        **{f"dci_gbt {k}": (a, other[f"dci.{k}"]) for k, a in zip(keys, found[:3], strict=True)},
    }
    forest = dci(*few, variant="forest")
    for name, (own, peer) in pairs.items():
        print(f"{code:10} {name:32} {own:.4f} {peer:.4f}")
    print(f"{code:10} dci_forest {forest[0]:.4f} {forest[1]:.4f} {forest[2]:.4f}")
    for name, (own, peer) in pairs.items():
        # boosting breaks ties between equal splits by chance
        slack = 0.02 if "dci" in name else 1e-3 if name == "sap_svc" else 1e-6
        assert own == pytest.approx(peer, abs=slack), name


@pytest.mark.parametrize("code", CODES)
def test_the_factor_vae_score_is_that_of_disent(code: str) -> None:
    from disent.metrics import metric_factor_vae  # pyright: ignore[reportMissingImports]

    v = factors((3, 3, 4, 4))  # few, so that each combination has an image
    x = CODES[code](v)
    x = x[:, x.std(0) > 0]  # disent divides by 0
    np.random.seed(0)
    options = {"num_train": 500, "num_eval": 500, "num_variance_estimate": 2000}
    peer = metric_factor_vae(Known(x, v, 1), lambda x: torch.from_numpy(x), **options)
    own = factor_vae_score(x, v, 500, 500, prune=0.0)
    print(f"{code:10} factor_vae_score {own:.4f} {peer['factor_vae.eval_accuracy']:.4f}")
    assert own == pytest.approx(peer["factor_vae.eval_accuracy"], abs=0.08)
