"""Densities of flows: bits/dim of known cases, dequantization, integrals, samples, all latents."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gdl.audit.continuous import integrates_to_one, samples_follow_density
from gdl.audit.flows import dequantizes
from gdl.audit.sampling import sample_k_depends_on_seed_and_k
from gdl.data.toy import Toy
from gdl.families.flow import FlowModel
from gdl.flows.base import Chain
from gdl.flows.dequantize import Logit, UniformDequantization
from gdl.flows.priors import LogisticPrior, NormalPrior
from gdl.flows.variational import VariationalDequantization
from gdl.flows.vectors import Flatten
from gdl.models.glow import Glow
from gdl.models.nice import NICE
from gdl.models.realnvp import RealNVP


class Uniform:
    """U[0, 1]^D."""

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.where(((z >= 0) & (z < 1)).all(1), 0.0, -torch.inf).to(z.dtype)


@pytest.mark.parametrize("levels", [2, 17, 32, 256])
def test_an_identity_flow_with_a_uniform_prior_costs_log2_levels(levels: int) -> None:
    shape = (3, 4, 4)
    model = FlowModel(shape, levels, Flatten(shape), Uniform())  # type: ignore[arg-type]
    x = torch.randint(0, levels, (5, *shape), dtype=torch.uint8)
    for value in model.loss(x)["nll"]:
        assert model.bits_per_dim(float(value)) == pytest.approx(math.log2(levels), abs=1e-5)


@pytest.mark.parametrize("levels", [2, 256])
def test_a_logit_flow_with_a_logistic_prior_is_uniform(levels: int) -> None:
    shape = (1, 4, 4)
    flow = Chain([Logit(0.0), Flatten(shape)])
    model = FlowModel(shape, levels, flow, LogisticPrior()).double()
    x = torch.randint(0, levels, (5, *shape), dtype=torch.uint8)
    for value in model.loss(x)["nll"]:
        assert model.bits_per_dim(float(value.detach())) == pytest.approx(math.log2(levels))


@torch.no_grad()
def test_dequantization_lands_in_the_cell_of_its_integer() -> None:
    for levels in (2, 17, 256):
        x = torch.arange(levels, dtype=torch.uint8).repeat(500).view(-1, 1, 1, 1)
        plain = UniformDequantization(levels, (1, 1, 1))
        learned = VariationalDequantization(levels, (1, 1, 1), couplings=2, width=4)
        for layer in (plain, learned):
            y, _ = layer(x, torch.float32)
            assert ((y >= 0) & (y < 1)).all()
            assert torch.equal(layer.inverse(y), x)
            assert dequantizes(layer.double(), x[:levels]).passed
            layer.float()
    u = UniformDequantization(256, (1,))(torch.zeros(200_000, 1, dtype=torch.uint8), torch.float32)
    counts = torch.histc(u[0] * 256, 20, 0, 1)
    assert (counts - 10_000).abs().max() < 600


@pytest.mark.parametrize("kind", ["nice", "realnvp", "mixture"])
@torch.no_grad()
def test_a_density_in_the_plane_integrates_to_one(kind: str) -> None:
    torch.manual_seed(1)
    make: dict[str, Callable[[], FlowModel]] = {
        "nice": lambda: NICE((2,), None, hidden=[16], prior="normal"),
        "realnvp": lambda: RealNVP((2,), None, hidden=[16]),
        "mixture": lambda: RealNVP((2,), None, hidden=[16], coupling="mixture", num_couplings=2),
    }
    model = make[kind]().double()
    x = torch.randn(500, 2, dtype=torch.float64)
    model.initialize(x)
    for p in model.parameters():
        p.add_(0.05 * torch.randn_like(p))
    found = integrates_to_one(model, 2)
    assert found.passed, found.reason
    # a flow left at the identity would pass too
    assert (model.log_prob(x) - NormalPrior().log_prob(x)).abs().max() > 0.1


def test_a_trained_density_on_the_line_integrates_to_one() -> None:
    torch.manual_seed(0)
    model = RealNVP((1,), None, num_couplings=2).double()
    data = Toy(target="claw", shape=[1], num_train=4000)
    x = data.images("train")
    model.initialize(x)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for batch in x.split(100):
        optimizer.zero_grad()
        model.loss(batch)["loss"].mean().backward()
        optimizer.step()
    points = torch.linspace(-15, 15, 30_001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        p = model.log_prob(points).exp()
        assert float(p.sum()) * 1e-3 == pytest.approx(1, abs=1e-6)
        # it has learned something: far from the normal density that it began near
        assert (p - NormalPrior().log_prob(points).exp()).abs().max() > 0.1


@pytest.mark.parametrize("coupling", ["affine", "mixture"])
@torch.no_grad()
def test_samples_follow_the_density(coupling: str) -> None:
    torch.manual_seed(0)
    model = RealNVP((2,), None, hidden=[16], coupling=coupling, num_couplings=4).double()
    model.initialize(torch.randn(500, 2, dtype=torch.float64))
    for p in model.parameters():
        p.add_(0.05 * torch.randn_like(p))
    for check in (samples_follow_density, sample_k_depends_on_seed_and_k):
        assert check(model).passed
    # but for the last bits of matrix products
    torch.testing.assert_close(model.sample(200)[:10], model.sample(10), rtol=0, atol=1e-9)


@pytest.mark.parametrize("prior", [NormalPrior(), LogisticPrior()])
def test_priors_are_those_of_torch(prior: Any) -> None:
    z = torch.randn(4, 5, dtype=torch.float64) * 3
    if isinstance(prior, NormalPrior):
        expected = torch.distributions.Normal(torch.zeros(5, dtype=torch.float64), 1.0).log_prob(z)
    else:
        expected = z.sigmoid().log() + (-z).sigmoid().log()
    torch.testing.assert_close(prior.log_prob(z), expected.sum(1))


# ---- real images


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64)])
@pytest.mark.parametrize("kind", ["nice", "realnvp", "glow"])
@torch.no_grad()
def test_all_latents_decode_to_the_image(kind: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    make: dict[str, Callable[[], FlowModel]] = {
        "nice": lambda: NICE(shape, 256, hidden=[32]),
        "realnvp": lambda: RealNVP(shape, 256, width=8, blocks=1),
        "glow": lambda: Glow(shape, 256, depth=4, width=16),
    }
    model = make[kind]()
    x = torch.randint(0, 256, (4, *shape), dtype=torch.uint8)
    model.initialize(x)
    for p in model.parameters():
        p.add_(0.02 * torch.randn_like(p))
    z = model.encode(x)
    assert z.shape == (4, math.prod(shape))
    assert (model.decode(z) - x).abs().max() < 0.01
    assert torch.equal(model.dequantize.inverse(model.bijection.inverse(z)), x)  # type: ignore[union-attr]
    samples = model.sample(3, temperature=0.7)
    assert samples.shape == (3, *shape)
    assert samples.dtype == torch.uint8
