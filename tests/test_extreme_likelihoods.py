"""Likelihoods are normalised and finite for any parameters that float32 can hold."""

from functools import partial
from typing import Any

import pytest
import torch
from small_models import build_small

import gdl.models
from gdl.capabilities import InitializesFromData
from gdl.data import Digits
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
        p = likelihood.probabilities(
            params.detach(), every[:0].view(1, 0, 1, 1).expand(200, -1, 1, 1)
        )
        torch.testing.assert_close(p.sum(1).flatten(), torch.ones(200), rtol=0, atol=1e-3)
        torch.testing.assert_close(p.flatten(1), log_p.exp().T, rtol=0, atol=1e-3)


# ---- trained models on images that are unlike the data

DIGITS = Digits(shape=(1, 8, 8), levels=17)
GREYS: dict[str, list[Any]] = {
    "VAE": [DiscretizedGaussian, partial(DiscretizedGaussian, variance="learned"), Categorical],
    "MADE": [DiscretizedLogistic, DiscretizedGaussian, DiscretizedLogisticMixture],
}
TRAINED = [(name, None) for name in gdl.models.__all__]
TRAINED += [(name, likelihood) for name, others in GREYS.items() for likelihood in others]


def strange_images() -> dict[str, torch.Tensor]:
    """Return sets of images (N, 1, 8, 8), of which the digits have none."""
    generator = torch.Generator().manual_seed(0)
    test = DIGITS.images("test")[:20]
    return {
        "constant": torch.arange(17, dtype=torch.uint8).view(17, 1, 1, 1).expand(17, 1, 8, 8),
        "noise": torch.randint(17, (20, 1, 8, 8), dtype=torch.uint8, generator=generator),
        "inverted": 16 - test,
        "stripes": (16 * (torch.arange(8) % 2)).to(torch.uint8).expand(1, 1, 8, 8),
        "one bright pixel": 16 * (torch.arange(64).view(1, 1, 8, 8) == 9).to(torch.uint8),
        "digits": test,
    }


@pytest.mark.parametrize("rate", [0.05, pytest.param(3e-3, marks=pytest.mark.slow)])  # wild, tame
@pytest.mark.parametrize(("name", "likelihood"), TRAINED)
def test_trained_models_score_strange_images_finitely(
    name: str, likelihood: Any, rate: float
) -> None:
    torch.manual_seed(0)
    model = build_small(name, (1, 8, 8), 17, **({"likelihood": likelihood} if likelihood else {}))
    train = DIGITS.images("train")
    if isinstance(model, InitializesFromData):
        model.initialize(train)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for x in train[: 64 * 12].split(64):
        optimizer.zero_grad()
        loss = model.loss(x)["loss"].mean()
        if not loss.isfinite():  # a step that training leaves out
            continue
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=False)
        optimizer.step()
    model.eval()
    with torch.no_grad():
        for what, x in strange_images().items():
            found = model.loss(x)
            if model.nll_kind is not None:
                found |= {"nll of several draws": model.nll(x, k=3)}
            for term, values in found.items():
                assert values.isfinite().all(), f"{term} of {what}"
                # of a density the loss is checked as its nll; others may minimise what is negative
                signed = term in ("elbo", "loss", "tc", "psnr")
                assert signed or (values > -1e-3).all(), f"{term} of {what}"
