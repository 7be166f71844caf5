"""Likelihoods are normalised and finite for any parameters that float32 can hold."""

import pytest
import torch
from small_models import build_small

from gdl.distributions import (
    Bernoulli,
    Categorical,
    DiscretizedGaussian,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
)
from gdl.noise import SampleNoise

EXTREMES = [0.0, 1e-30, -1.0, 3.0, -40.0, 70.0, -1e3, 1e5, -1e9, 1e15, -1e30, 3e38, -3e38]
BUILD = {
    "bernoulli": lambda levels: Bernoulli((1, 1, 1), 2),
    "categorical": lambda levels: Categorical((1, 1, 1), levels),
    "logistic": lambda levels: DiscretizedLogistic((1, 1, 1), levels),
    "mixture": lambda levels: DiscretizedLogisticMixture((1, 1, 1), levels, 3),
    "optimal": lambda levels: DiscretizedGaussian((1, 1, 1), levels).eval(),
    "learned": lambda levels: DiscretizedGaussian((1, 1, 1), levels, "learned"),
}


def extreme_parameters(likelihood, n: int) -> torch.Tensor:
    """Return (n, P, 1, 1), each number drawn from EXTREMES."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(len(EXTREMES), (n, likelihood.num_params, 1, 1), generator=generator)
    return torch.tensor(EXTREMES)[chosen]


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("name", BUILD)
def test_probabilities_sum_to_one_and_gradients_are_finite(name: str, levels: int) -> None:
    likelihood = BUILD[name](levels)
    levels = likelihood.levels
    params = extreme_parameters(likelihood, 200).requires_grad_()
    every = torch.arange(levels, dtype=torch.uint8).view(-1, 1, 1, 1)
    scales = EXTREMES if isinstance(likelihood, DiscretizedGaussian) else [None]
    for scale in scales:
        if scale is not None:
            likelihood.log_std.data.fill_(scale)
        log_p = torch.stack([likelihood.log_prob(params, x.expand(200, 1, 1, 1)) for x in every])
        assert log_p.isfinite().all()
        assert (log_p <= 1e-4).all()
        torch.testing.assert_close(log_p.exp().sum(0), torch.ones(200), rtol=0, atol=1e-3)
        (gradient,) = torch.autograd.grad(log_p.sum(), params)
        assert gradient.isfinite().all()
        drawn = likelihood.sample(params.detach(), SampleNoise(0, range(200)))
        assert int(drawn.max()) < levels
        assert likelihood.mean(params).isfinite().all()


IMAGES = {
    "dark": torch.zeros(1, 1, 8, 8),
    "bright": torch.full((1, 1, 8, 8), 16.0),
    "noise": torch.randint(17, (1, 1, 8, 8), generator=torch.Generator().manual_seed(0)),
    "stripes": 16.0 * (torch.arange(8) % 2).expand(1, 1, 8, 8),
}


@pytest.mark.parametrize("name", ["VAE", "MADE", "PixelCNN", "PixelCNNpp", "NICE", "RealNVP"])
@torch.no_grad()
def test_models_score_strange_images_finitely(name: str) -> None:
    torch.manual_seed(0)
    model = build_small(name, (1, 8, 8), 17)
    model.initialize(torch.randint(3, 6, (50, 1, 8, 8), dtype=torch.uint8))
    for p in model.parameters():
        p.mul_(3).add_(0.1 * torch.randn_like(p))  # a network that extrapolates wildly
    model.eval()
    for x in IMAGES.values():
        assert model.nll(x.to(torch.uint8)).isfinite().all()
