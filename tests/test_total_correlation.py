"""The total correlation of beta-TCVAE and FactorVAE: estimates against what is known exactly."""

import math
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from gdl.distributions import gaussian_kl
from gdl.families.variational import Drawn, VariationalModel
from gdl.models import BetaTCVAE, FactorVAE
from gdl.models.factor_vae import _shuffled
from gdl.noise import seed_noise

SHAPE, LEVELS = (1, 4, 4), 3
CPU = torch.device("cpu")
MODELS: dict[str, Any] = {
    "beta_tcvae": lambda **o: BetaTCVAE(SHAPE, LEVELS, 2, **o),
    "factor_vae": lambda **o: FactorVAE(SHAPE, LEVELS, 2, discriminator=[32, 32], **o),
}
each = pytest.mark.parametrize("name", MODELS)


def images(n: int = 12) -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randint(LEVELS, (n, *SHAPE), generator=g, dtype=torch.uint8)


def terms(model: VariationalModel, x: Tensor) -> dict[str, Tensor]:
    seed_noise(CPU, "tc")
    return model.loss(x)


def drawn(mean: Tensor, std: float) -> Drawn:
    """Return draws at the means, in float64."""
    mean = mean.double()
    log_std = torch.full_like(mean, math.log(std))
    return Drawn(mean, log_std, mean + 0.3 * std, mean[:, 0], gaussian_kl(mean, log_std))


@each
def test_the_bound_does_not_know_the_weight_of_the_total_correlation(name: str) -> None:
    torch.manual_seed(0)
    option = {"beta_tcvae": "beta", "factor_vae": "gamma"}[name]
    one, many = (MODELS[name](**{option: w}).eval() for w in (1.0, 8.0))
    many.load_state_dict(one.state_dict())
    a, b = terms(one, images()), terms(many, images())
    for key in ("nll", "rate", "distortion", "tc"):
        assert torch.equal(a[key], b[key])
    torch.testing.assert_close(b["loss"] - a["loss"], 7 * a["tc"])
    torch.testing.assert_close(a["nll"], a["rate"] + a["distortion"])
    extra = a["tc"] + a["discriminator"] if name == "factor_vae" else 0
    torch.testing.assert_close(a["loss"], a["nll"] + extra)


def test_codes_that_fill_a_grid_have_no_total_correlation() -> None:
    side = torch.linspace(-2, 2, 5)
    grid = torch.cartesian_prod(side, side, side)
    model = BetaTCVAE(SHAPE, LEVELS, 3)
    torch.testing.assert_close(
        model.total_correlation(drawn(grid, 0.2)), torch.zeros(125).double(), atol=1e-9, rtol=0
    )
    # two latents that are one: TC is the information in one of them
    twice = torch.stack([side, side], 1)
    found = model.total_correlation(drawn(twice, 0.01))
    torch.testing.assert_close(found, torch.full((5,), math.log(5)).double())


def test_the_density_of_codes_is_estimated_without_bias() -> None:
    """The mean over all batches with an image is the density over all training images."""
    n, batch = 6, 3
    g = torch.Generator().manual_seed(1)
    mean, z = (torch.randn(n, 2, generator=g).double() for _ in range(2))
    model = BetaTCVAE(SHAPE, LEVELS, 2)
    model.num_images.fill_(n)
    density = (-0.5 * (z[:1, None] - mean).square().sum(-1)).exp()[0]
    exact = density.mean()
    found = []
    for others in combinations(range(1, n), batch - 1):
        weights = model._log_weights(batch, torch.tensor([0])).exp()[0]
        found.append((weights * density[[0, *others]]).sum())
    torch.testing.assert_close(torch.stack(found).mean(), exact)


def test_a_batch_of_one_image_has_no_total_correlation() -> None:
    model = BetaTCVAE(SHAPE, LEVELS, 2)
    model.num_images.fill_(100)
    assert float(model.total_correlation(drawn(torch.randn(1, 2), 0.5))) == pytest.approx(0)


def test_the_two_players_do_not_move_each_other() -> None:
    torch.manual_seed(0)
    model = MODELS["factor_vae"]()
    own = [*model.discriminator.parameters()]
    others = [p for g in model.parameter_groups()[:1] for p in g["params"]]
    assert len(own) + len(others) == len([*model.parameters()])
    found = terms(model, images())
    grads = torch.autograd.grad(found["tc"].sum(), own, allow_unused=True, retain_graph=True)
    assert all(g is None for g in grads)
    entropy = found["discriminator"].sum()
    grads = torch.autograd.grad(entropy, others, allow_unused=True, retain_graph=True)
    assert all(g is None for g in grads)
    assert any(g.abs().sum() > 0 for g in torch.autograd.grad(entropy, own, retain_graph=True))
    assert any(
        g is not None and g.abs().sum() > 0
        for g in torch.autograd.grad(found["tc"].sum(), others, allow_unused=True)
    )


def test_shuffling_keeps_each_latent_and_breaks_their_connection() -> None:
    z = torch.randn(2000, 1).repeat(1, 3)
    seed_noise(CPU, "shuffle")
    shuffled = _shuffled(z)
    assert torch.equal(shuffled.sort(0).values, z.sort(0).values)
    assert shuffled.T.corrcoef().fill_diagonal_(0).abs().max() < 0.1


def test_a_trained_discriminator_knows_the_total_correlation_of_gaussian_codes() -> None:
    torch.manual_seed(0)
    rho, model = 0.9, MODELS["factor_vae"]()
    optimizer = torch.optim.Adam(model.discriminator.parameters(), 5e-3)
    for step in range(200):
        seed_noise(CPU, "gaussian", step)
        z = torch.randn(256, 2)
        z = torch.stack([z[:, 0], rho * z[:, 0] + math.sqrt(1 - rho**2) * z[:, 1]], 1)
        optimizer.zero_grad()
        model.discriminator_loss(z).mean().backward()
        optimizer.step()
    with torch.no_grad():
        z = torch.randn(4000, 1)
        z = torch.cat([z, rho * z + math.sqrt(1 - rho**2) * torch.randn(4000, 1)], 1)
        tc = float(model.discriminator(z).mean())
    assert tc == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.12)
