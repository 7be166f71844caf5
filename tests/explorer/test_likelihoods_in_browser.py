"""Likelihoods in JavaScript are those of gdl.distributions, in the tails too."""

import pytest
import torch
from in_browser import open_modules, plain, plain_values

from gdl.explorer.likelihood_ops import LIKELIHOOD_OPS

torch.manual_seed(0)


@pytest.fixture(scope="module")
def tab(chromium):
    tab = open_modules(chromium)
    yield tab
    tab.close()


SPREADS = (0.01, 1.0, 10.0, 1000.0, 1e5)
"""Sizes of the parameters: flat, common, in the tails, and beyond what likelihoods keep."""

CASES = {
    # operation: channels of images and of parameters, levels, options
    "bernoulli_log_prob": [(1, 1, 2, {}), (3, 3, 2, {})],
    "categorical_mean": [(2, 2 * 17, 17, {"channels": 2, "levels": 17})],
    "categorical_log_prob": [(2, 2 * 17, 17, {"levels": 17})],
    "gaussian_log_prob": [(1, 1, 256, {"levels": 256}), (3, 3, 32, {"levels": 32})],
    "logistic_log_prob": [
        (1, 2, 256, {"levels": 256}),
        (3, 6, 17, {"levels": 17}),
        (1, 2, 2, {"levels": 2}),
    ],
    "mixture_mean": [
        (1, 9, 32, {"channels": 1, "levels": 32, "mixtures": 3}),
        (3, 20, 256, {"channels": 3, "levels": 256, "mixtures": 2}),
    ],
    "mixture_log_prob": [
        (1, 9, 32, {"levels": 32, "mixtures": 3}),
        (3, 20, 256, {"levels": 256, "mixtures": 2}),
    ],
}


def test_every_operation_has_a_case():
    assert set(CASES) == set(LIKELIHOOD_OPS)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, cases in CASES.items() for case in cases]
)
def test_operations_agree_in_the_browser(tab, name, case, spread):
    channels, wide, levels, options = case
    params = spread * torch.randn(20, wide, 2, 3)
    x = torch.randint(0, levels, (20, channels, 2, 3))
    x[:2], x[2:4] = 0, levels - 1  # the open ends
    inputs = [params] if name.endswith("_mean") else [params, x]
    scales = [-9.0, -3.0, 0.0, 5.0] if name == "gaussian_log_prob" else [None]
    for scale in scales:
        tensors = {} if scale is None else {"log_std": torch.tensor(scale)}
        # in float64, since the sums of float32 are less exact than those of the page
        exact = [t.double() if t.is_floating_point() else t for t in inputs]
        wide_tensors = {k: t.double() for k, t in tensors.items()}
        own = LIKELIHOOD_OPS[name](*exact, **wide_tensors, **options)
        values = [*map(plain, inputs)]
        args = [name, values, options, plain_values(tensors)]
        found = tab.evaluate("([n, i, o, t]) => op(n, i, o, t)", args)
        assert found["shape"] == [*own.shape]
        got = torch.tensor(found["data"], dtype=torch.float64).reshape(own.shape)
        torch.testing.assert_close(got, own, rtol=2e-6, atol=1e-6)
