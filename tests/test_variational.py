"""Variational dequantization: an exact density of the noise, and a bound that it tightens."""

import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from gdl.errors import GdlError
from gdl.evaluation import dequantization
from gdl.families.flow import FlowModel
from gdl.flows import (
    AffineCoupling,
    Chain,
    Flatten,
    LogisticPrior,
    Logit,
    UniformDequantization,
    VariationalDequantization,
)
from gdl.models.glow import Glow
from gdl.models.nice import NICE
from gdl.models.realnvp import RealNVP
from gdl.nn import VectorConditioner

LEVELS = 3
SHAPES = [(1, 1, 1), (1, 1, 2), (2, 1, 1), (3, 3, 2), (2, 5, 1)]
each_shape = pytest.mark.parametrize("shape", SHAPES)


@torch.no_grad()
def learned(
    shape: tuple[int, ...], size: float = 0.15, **options: int
) -> VariationalDequantization:
    """Return noise in float64 that is far from uniform."""
    torch.manual_seed(0)
    layer = VariationalDequantization(LEVELS, shape, couplings=3, width=4).double()
    for p in layer.parameters():
        p.add_(size * torch.randn_like(p))
    return layer


def image(shape: tuple[int, ...], n: int = 1) -> Tensor:
    x = torch.arange(math.prod(shape), dtype=torch.uint8).view(shape) % LEVELS
    return x.expand(n, *shape)


def noise_of(layer: UniformDequantization, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return a draw u (B, C, H, W) and log q(u | x) (B,)."""
    y, term = layer(x, torch.float64)
    return y * LEVELS - x, -term - layer.log_volume


@each_shape
@torch.no_grad()
def test_it_starts_as_uniform_noise(shape: tuple[int, ...]) -> None:
    x = image(shape, 20)
    found = []
    for kind in (UniformDequantization, VariationalDequantization):
        layer = kind(LEVELS, shape)
        torch.manual_seed(0)
        found.append(layer(x, torch.float32))
    torch.testing.assert_close(*found, rtol=0, atol=1e-4)


@each_shape
def test_its_density_is_that_of_the_map_and_of_the_inverse(shape: tuple[int, ...]) -> None:
    layer, x = learned(shape), image(shape)
    d = math.prod(shape)
    eps = torch.randn(1, *shape, dtype=torch.float64)
    scaled = layer._scaled(x, eps.dtype)
    push = lambda flat: layer._push(flat.view(1, *shape), scaled)[0].flatten()  # noqa: E731
    jacobian = torch.autograd.functional.jacobian(push, eps.flatten())
    u, log_q = layer._push(eps, scaled)
    base = (torch.sigmoid(eps) * torch.sigmoid(-eps)).log().sum()
    assert jacobian.shape == (d, d)
    torch.testing.assert_close(log_q[0], base - torch.linalg.slogdet(jacobian)[1])
    torch.testing.assert_close(layer.log_prob(u, x), log_q)
    assert ((u > 0) & (u < 1)).all()
    # it is a function of the image, and far from uniform where something moves
    other = layer._push(eps, layer._scaled((x + 1) % LEVELS, eps.dtype))[0]
    assert not torch.allclose(u, other)
    assert abs(float(log_q.detach())) > 0.01


@pytest.mark.parametrize("shape", SHAPES[:3])
@torch.no_grad()
def test_it_integrates_to_one(shape: tuple[int, ...]) -> None:
    layer, d, n = learned(shape), math.prod(shape), 120
    # of sigmoid(t), which resolves the tails at the ends of (0, 1)
    side = torch.linspace(-25, 25, n, dtype=torch.float64)
    t = torch.cartesian_prod(*[side] * d).view(-1, *shape)
    slope = (torch.sigmoid(t) * torch.sigmoid(-t)).flatten(1).log().sum(1)
    top = 1 - layer.gap
    log_q = layer.log_prob(top * t.sigmoid(), image(shape, len(t)))
    mass = (log_q + slope).exp().sum() * (50 / (n - 1) * top ** (1 / d)) ** d * top ** (d - 1)
    assert float(mass) == pytest.approx(1, abs=2e-3)


@each_shape
@torch.no_grad()
def test_its_draws_have_its_density(shape: tuple[int, ...]) -> None:
    # E_q[1 / q(u)] = 1, the volume of the cube
    _, log_q = noise_of(learned(shape, 0.15), image(shape, 5000))
    weight = (-log_q).exp()
    error = float(weight.std()) / math.sqrt(len(weight))
    assert error < 0.05
    assert float(weight.mean()) == pytest.approx(1, abs=5 * error + 1e-3)


def affine(dequantization: str) -> FlowModel:
    couplings = [AffineCoupling(VectorConditioner(1, 2, [4]), bool(k)) for k in range(2)]
    flow = Chain([Logit(0.05), Flatten((1, 1, 2)), *couplings])
    return FlowModel((1, 1, 2), LEVELS, flow, LogisticPrior(), dequantization, 3, 4)


def additive(dequantization: str) -> FlowModel:
    o: dict[str, Any] = {"dequantization": dequantization, "noise_couplings": 3, "noise_width": 4}
    return NICE((1, 1, 2), LEVELS, hidden=[4], prior="normal", **o)


Make = Callable[[str], FlowModel]


@torch.no_grad()
def uneven(dequantization: str, make: Make = affine) -> FlowModel:
    """Return a flow of two pixels whose density varies within a cell; the same for both kinds."""
    torch.manual_seed(2)
    model = make(dequantization).double()
    model.initialize(every_image())
    g = torch.Generator().manual_seed(3)
    for p in model.bijection.parameters():
        p.add_(SIZE[make] * torch.randn(p.shape, generator=g, dtype=p.dtype))
    return model.eval()


SIZE = {affine: 0.5, additive: 0.7}


def every_image() -> Tensor:
    pairs = [*itertools.product(range(LEVELS), repeat=2)]
    return torch.tensor(pairs, dtype=torch.uint8).view(-1, 1, 1, 2)


@torch.no_grad()
def exact_nll(model: FlowModel) -> Tensor:
    """Return -log P(x) of every image, the integral of the density over its cell, by quadrature."""
    n, x = 200, every_image()
    side = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    u = torch.cartesian_prod(side, side).view(-1, 1, 1, 2)
    found = []
    for one in x:
        y = (one + u) / LEVELS
        z, log_det = model.bijection(y)
        log_p = model.prior.log_prob(z) + log_det
        found.append(log_p.logsumexp(0) - 2 * math.log(n * LEVELS))
    return -torch.stack(found)


@torch.no_grad()
def bound(model: FlowModel, k: int, draws: int) -> tuple[Tensor, Tensor]:
    """Return the mean negative bound of every image from k samples, and its standard error."""
    x = every_image()
    torch.manual_seed(0)
    nll = model.nll(x.repeat(draws, 1, 1, 1), k=k).view(draws, len(x))
    return nll.mean(0), nll.std(0) / math.sqrt(draws)


@pytest.mark.parametrize("make", [affine, additive])
@pytest.mark.parametrize("kind", ["uniform", "variational"])
def test_the_bound_is_one_and_tightens_to_the_exact_probability(make: Make, kind: str) -> None:
    model = uneven(kind, make)
    torch.manual_seed(1)
    with torch.no_grad():
        for p in [*model.dequantize.parameters()] if model.dequantize else []:
            p.add_(0.1 * torch.randn_like(p))
    exact = exact_nll(model)
    one, error = bound(model, 1, 1000)
    assert (one > exact - 4 * error).all()
    assert (one > exact + 4 * error).any()  # a test that cannot fail proves nothing
    eight, error_8 = bound(model, 8, 200)
    assert (eight > exact - 4 * error_8).all()
    assert (eight - exact).mean() < 0.5 * (one - exact).mean()
    many, error_many = bound(model, 300, 5)
    assert (many - exact).abs().max() < 0.05 + 4 * error_many.max()


def test_training_the_noise_closes_most_of_the_gap_of_uniform_noise() -> None:
    plain, model = uneven("uniform"), uneven("variational")
    exact = exact_nll(plain)
    torch.testing.assert_close(exact_nll(model), exact)
    gap = float((bound(plain, 1, 1000)[0] - exact).mean())
    x = every_image().repeat(16, 1, 1, 1)
    optimizer = torch.optim.Adam(model.dequantize.parameters(), lr=0.02)  # type: ignore[union-attr]
    for _ in range(100):
        optimizer.zero_grad()
        model.loss(x)["loss"].mean().backward()
        optimizer.step()
    closed, error = bound(model, 1, 1000)
    assert (closed > exact - 4 * error).all()
    assert float((closed - exact).mean()) < 0.4 * gap


FLOWS = {
    "nice": lambda shape, **o: NICE(shape, 256, hidden=[16], **o),
    "realnvp": lambda shape, **o: RealNVP(shape, 256, width=4, blocks=1, **o),
    "glow": lambda shape, **o: Glow(shape, 256, depth=1, width=8, **o),
}


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        *(("nice", shape) for shape in ((3, 5, 2), (1, 1, 16))),
        *(("realnvp", shape) for shape in ((3, 5, 7), (1, 1, 9))),
        *(("glow", shape) for shape in ((1, 6, 10), (3, 8, 8))),
    ],
)
def test_every_flow_takes_it_on_images_of_any_size(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = FLOWS[name](shape, dequantization="variational", noise_couplings=3, noise_width=8)
    x = torch.randint(0, 256, (4, *shape), dtype=torch.uint8)
    model.initialize(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        nll = model.loss(x)["nll"]
    nll.mean().backward()
    assert nll.dtype == torch.float32
    assert nll.isfinite().all()
    parameters = [*model.dequantize.parameters()]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in parameters)
    assert len(parameters) == 3 * 7
    assert model.nll_kind == "vardeq-1"


def test_the_measure_says_which_noise_its_bound_is_of() -> None:
    x = every_image()
    for kind, name in (("uniform", "dequant"), ("variational", "vardeq")):
        model = uneven(kind)
        found = dequantization(model, SimpleNamespace(images=lambda split: x), k=3)  # type: ignore[arg-type]
        assert {k.partition("/")[0] for k in found} == {f"{name}-3"}


@pytest.mark.parametrize("name", FLOWS)
def test_another_dequantization_is_refused(name: str) -> None:
    with pytest.raises(GdlError, match=r"model\.dequantization must be uniform or variational"):
        FLOWS[name]((1, 4, 4), dequantization="gaussian")
