"""Theorems over every bijection, on perturbed parameters in float64."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gdl.audit.flows import inverts, log_det_is_that_of_the_jacobian
from gdl.errors import GdlError
from gdl.flows.base import Bijection, Chain, DataInitialized, initialize
from gdl.flows.coupling import (
    AdditiveCoupling,
    AffineCoupling,
    sigmoid_scale,
    tanh_scale,
)
from gdl.flows.dequantize import Affine, Logit
from gdl.flows.glow import GlowStep
from gdl.flows.linear import ActNorm, Conv1x1
from gdl.flows.masked import MaskedCoupling, checkerboard
from gdl.flows.mixture import Mixture, MixtureCoupling, MixtureLogit
from gdl.flows.multiscale import MultiScale, SplitPrior, Squeeze
from gdl.flows.priors import NormalPrior
from gdl.flows.stacked import GlowSteps, VectorCouplings
from gdl.flows.vectors import Flatten, Permutation, Scale, Standardize, Whitening
from gdl.models.gaussian import Gaussian
from gdl.models.glow import Glow
from gdl.models.nice import NICE
from gdl.models.realnvp import RealNVP
from gdl.nn.coupling_networks import ConvConditioner, VectorConditioner, ZeroConv

IMAGE, VECTOR, ODD, LINE = (4, 4, 4), (6,), (5,), (1,)


def net(i: int, o: int) -> nn.Module:
    return ConvConditioner(i, o, 8, 1)


def multi_scale() -> MultiScale:
    levels = [Chain([Squeeze(), GlowSteps(16, 2, 8)]), Squeeze()]
    return MultiScale(levels, [SplitPrior(ZeroConv(8, 16))], [(16, 2, 2), (32, 1, 1)])


BIJECTIONS: dict[str, tuple[Callable[[], Bijection], tuple[int, ...]]] = {
    "actnorm": (lambda: ActNorm(4), IMAGE),
    "actnorm_vector": (lambda: ActNorm(6), VECTOR),
    "conv1x1": (lambda: Conv1x1(4), IMAGE),
    "conv1x1_vector": (lambda: Conv1x1(6), VECTOR),
    "scale": (lambda: Scale(IMAGE), IMAGE),
    "affine": (lambda: Affine(0.3, -0.5), IMAGE),
    "permutation": (lambda: Permutation([2, 0, 3, 1]), IMAGE),
    "squeeze": (lambda: Squeeze(), IMAGE),
    "flatten": (lambda: Flatten(IMAGE), IMAGE),
    "logit": (lambda: Logit(0.05), IMAGE),
    "additive": (lambda: AdditiveCoupling(VectorConditioner(3, 3, [8])), VECTOR),
    "additive_swapped": (lambda: AdditiveCoupling(net(2, 2), swap=True), IMAGE),
    "affine_coupling": (lambda: AffineCoupling(VectorConditioner(3, 6, [8])), VECTOR),
    "affine_swapped": (lambda: AffineCoupling(net(2, 4), True, sigmoid_scale), IMAGE),
    "checkerboard": (
        lambda: MaskedCoupling(ConvConditioner(4, 8, 6, 1), checkerboard(4, 4)),
        IMAGE,
    ),
    "checkerboard_odd": (
        lambda: MaskedCoupling(ConvConditioner(4, 8, 6, 1), checkerboard(4, 4, True)),
        IMAGE,
    ),
    "glow_step": (lambda: GlowStep(4, 8), IMAGE),
    "glow_step_additive": (lambda: GlowStep(4, 8, affine=False), IMAGE),
    "glow_step_without_norms": (lambda: GlowStep(4, 8, net_norm=False), IMAGE),
    "glow_steps": (lambda: GlowSteps(4, 3, 8), IMAGE),
    "glow_steps_additive": (lambda: GlowSteps(4, 3, 8, affine=False), IMAGE),
    "glow_steps_checkpointed": (
        lambda: GlowSteps(4, 3, 8, net_norm=False, checkpoint_conditioners=True),
        IMAGE,
    ),
    "glow_steps_reversible": (lambda: GlowSteps(4, 3, 8, reversible=True), IMAGE),
    "vector_couplings": (lambda: VectorCouplings(6, 3, [8, 5]), VECTOR),
    "vector_couplings_additive": (lambda: VectorCouplings(6, 4, [8], affine=False), VECTOR),
    **{
        f"vector_couplings_{'' if affine else 'additive_'}of_{d}": (
            lambda d=d, affine=affine: VectorCouplings(d, 3, [8, 5], affine),
            (d,),
        )
        for d in (2, 3, 5)
        for affine in (True, False)
    },
    "affine_odd": (lambda: AffineCoupling(VectorConditioner(3, 4, [8])), ODD),
    "affine_odd_swapped": (lambda: AffineCoupling(VectorConditioner(2, 6, [8]), True), ODD),
    "standardize": (lambda: Standardize(6), VECTOR),
    "whitening": (lambda: Whitening(6), VECTOR),
    "whitening_line": (lambda: Whitening(1), LINE),
    "mixture_logit": (lambda: MixtureLogit(6, 5), VECTOR),
    "mixture_logit_line": (lambda: MixtureLogit(1, 5), LINE),
    "mixture_logit_of_one": (lambda: MixtureLogit(6, 1), VECTOR),
    "mixture_coupling": (lambda: MixtureCoupling(VectorConditioner(3, 36, [8]), 4), VECTOR),
    "mixture_swapped": (
        lambda: MixtureCoupling(VectorConditioner(3, 36, [8]), 4, swap=True),
        VECTOR,
    ),
    "multi_scale": (multi_scale, IMAGE),
    "nice_odd": (lambda: NICE((3, 1, 3), 256, hidden=[8]).bijection, (3, 1, 3)),
    "realnvp_standardized": (
        lambda: RealNVP(VECTOR, None, hidden=[8], standardize=True, whiten=True).bijection,
        VECTOR,
    ),
    "nice_standardized": (
        lambda: NICE(ODD, None, hidden=[8], standardize=True, whiten=True).bijection,
        ODD,
    ),
    "gaussian": (lambda: Gaussian(IMAGE, 256).bijection, IMAGE),
    "realnvp_odd": (lambda: RealNVP(ODD, None, hidden=[8]).bijection, ODD),
    "realnvp_mixture_odd": (
        lambda: RealNVP(ODD, None, hidden=[8], coupling="mixture").bijection,
        ODD,
    ),
    "nice": (lambda: NICE(IMAGE, 256, hidden=[8]).bijection, IMAGE),
    "realnvp": (lambda: RealNVP(IMAGE, 256, width=4, blocks=1).bijection, IMAGE),
    "realnvp_vector": (lambda: RealNVP(VECTOR, None, hidden=[8]).bijection, VECTOR),
    "realnvp_mixture": (
        lambda: RealNVP(VECTOR, None, hidden=[8], coupling="mixture").bijection,
        VECTOR,
    ),
    "realnvp_line": (lambda: RealNVP(LINE, None, num_couplings=3).bijection, LINE),
    "glow": (lambda: Glow(IMAGE, 256, depth=2, width=8).bijection, IMAGE),
}
VOLUME_PRESERVING = {
    "permutation",
    "squeeze",
    "flatten",
    "additive",
    "additive_swapped",
    "vector_couplings_additive",
    *(f"vector_couplings_additive_of_{d}" for d in (2, 3, 5)),
}
each = pytest.mark.parametrize("name", BIJECTIONS)


@torch.no_grad()
def build(name: str) -> tuple[Bijection, Tensor]:
    """Return a bijection with perturbed parameters, and data in (0, 1), both in float64."""
    torch.manual_seed(0)
    make, shape = BIJECTIONS[name]
    bijection = make().double()
    x = torch.rand(3, *shape, dtype=torch.float64) * 0.98 + 0.01
    initialize(bijection, x)
    for p in bijection.parameters():
        p.add_(0.1 * torch.randn_like(p))
    return bijection, x


@each
@torch.no_grad()
def test_inverse_undoes_forward_both_ways(name: str) -> None:
    bijection, x = build(name)
    z, log_det = bijection(x)
    assert log_det.shape == (3,)
    assert z.dtype == log_det.dtype == torch.float64
    found = inverts([(name, bijection, x)], 1e-10)
    assert found.passed, found.reason
    again, _ = bijection(bijection.inverse(z))
    torch.testing.assert_close(again, z, rtol=0, atol=1e-9)


@each
def test_log_det_is_that_of_the_jacobian(name: str) -> None:
    bijection, x = build(name)
    _, log_det = bijection(x)
    found = log_det_is_that_of_the_jacobian([(name, bijection, x)], 1e-9)
    assert found.passed, found.reason
    if name in VOLUME_PRESERVING:
        assert (log_det == 0).all()
    else:
        assert (log_det.abs() > 1e-3).all(), "an identity would make this test vacuous"


@each
@torch.no_grad()
def test_an_image_does_not_know_its_batch_and_input_is_not_written_to(name: str) -> None:
    bijection, x = build(name)
    before = x.clone()
    z, log_det = bijection(x)
    assert torch.equal(x, before)
    alone, log_det_alone = bijection(x[1:2])
    torch.testing.assert_close(alone, z[1:2], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_det_alone, log_det[1:2], rtol=1e-12, atol=1e-12)
    bijection.inverse(z)
    assert torch.equal(bijection(x)[0], z)


@each
def test_every_parameter_gets_a_gradient(name: str) -> None:
    bijection, x = build(name)
    z, log_det = bijection(x)
    if not any(True for _ in bijection.parameters()):
        return
    (NormalPrior().log_prob(z.flatten(1)) + log_det).sum().backward()
    for key, p in bijection.named_parameters():
        assert p.grad is not None, key
        # below the diagonal only, above it only
        assert p.grad.abs().max() > 0, key


@each
@torch.no_grad()
def test_saved_and_loaded_it_maps_the_same(name: str) -> None:
    bijection, x = build(name)
    other = BIJECTIONS[name][0]().double()
    other.load_state_dict(bijection.state_dict())
    initialize(other, 5 * x)  # it has been set before: nothing happens
    assert torch.equal(other(x)[0], bijection(x)[0])
    assert torch.equal(other(x)[1], bijection(x)[1])


# ---- data-dependent initialisation


@torch.no_grad()
def test_actnorm_whitens_its_first_data_once_and_only_when_told() -> None:
    x = 3 * torch.randn(100, 5, 4, 4, dtype=torch.float64) + 7
    norm = ActNorm(5).double()
    for pass_ in (norm, norm.inverse):
        with pytest.raises(GdlError, match="ActNorm starts from data"):
            pass_(x)  # an ordinary pass does not set it
    initialize(norm, x)
    z, _ = norm(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(z.std((0, 2, 3), correction=0), torch.ones(5, dtype=torch.float64))
    saved = [p.clone() for p in norm.parameters()]
    initialize(norm, 2 * x)
    assert all(torch.equal(a, b) for a, b in zip(saved, norm.parameters(), strict=True))


@torch.no_grad()
def test_a_constant_channel_stays_finite() -> None:
    x = torch.randn(10, 3, 4, 4)
    x[:, 1] = 4.0
    norm = ActNorm(3)
    initialize(norm, x)
    z, log_det = norm(x)
    assert z.isfinite().all()
    assert log_det.isfinite().all()


@torch.no_grad()
def test_every_norm_of_a_glow_is_set_and_its_nets_see_unit_variance() -> None:
    torch.manual_seed(0)
    model = Glow((1, 8, 8), 17, depth=2, width=16)
    model.initialize(torch.randint(0, 17, (64, 1, 8, 8), dtype=torch.uint8))
    layers = [m for m in model.modules() if isinstance(m, DataInitialized)]
    assert len(layers) == 3
    assert all(bool(m.initialized) for m in layers)


# ---- bounds of scales


@pytest.mark.parametrize("f", [tanh_scale, sigmoid_scale])
def test_log_scales_are_bounded_and_smooth(f: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
    raw = torch.linspace(-1e4, 1e4, 10_001, requires_grad=True)
    scale, value = f(raw)
    assert scale.isfinite().all()
    torch.testing.assert_close(scale.log(), value, rtol=1e-4, atol=1e-5)
    lowest = math.log(0.5) if f is sigmoid_scale else -2
    assert value.min() >= lowest - 1e-5
    value.sum().backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


def test_sigmoid_scale_is_the_sigmoid_with_a_floor() -> None:
    raw = torch.linspace(-20, 20, 401, dtype=torch.float64)
    expected = 0.5 + 0.5 * (raw + 2).sigmoid()
    torch.testing.assert_close(sigmoid_scale(raw)[0], expected)


# ---- maps of the line


def test_one_component_is_an_affine_map() -> None:
    raw = torch.tensor([[0.3], [1.5], [-0.4]], dtype=torch.float64)
    x = torch.tensor([-1e6, -3.0, 0.0, 2.0, 1e6], dtype=torch.float64)
    mixture = Mixture.of(raw)
    log_scale = 5 * math.tanh(-0.4 / 5)
    z, log_slope = mixture.logit(x)
    torch.testing.assert_close(z, (x - 1.5) * math.exp(-log_scale))
    torch.testing.assert_close(log_slope, torch.full_like(x, -log_scale))
    torch.testing.assert_close(mixture.invert(z), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_maps_of_the_line_are_finite_and_invertible_far_out(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    mixture = Mixture.of(torch.randn(3, 6, dtype=dtype))
    x = torch.tensor([-1e4, -300.0, -30.0, 30.0, 300.0, 1e4], dtype=dtype)
    z, log_slope = mixture.logit(x)
    # in the tail the widest component is alone: logit F is affine
    steepest = -mixture.log_scales.max()
    torch.testing.assert_close(log_slope[[0, -1]], steepest.expand(2), rtol=0, atol=0.01)
    assert (z.diff() > 0).all()
    torch.testing.assert_close(mixture.invert(z), x, rtol=20 * torch.finfo(dtype).eps, atol=0)


def test_the_distribution_function_is_that_of_the_mixture() -> None:
    torch.manual_seed(0)
    raw = torch.randn(3, 6, dtype=torch.float64)
    mixture, x = Mixture.of(raw), torch.linspace(-6, 6, 25, dtype=torch.float64)
    u = (x[:, None] - mixture.means) / mixture.log_scales.exp()
    cdf = (raw[0].softmax(0) * u.sigmoid()).sum(1)
    torch.testing.assert_close(mixture.logit(x)[0].sigmoid(), cdf)


def test_gradients_reach_through_the_inverse() -> None:
    torch.manual_seed(0)
    raw = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    z = torch.randn(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r, v: Mixture.of(r).invert(v), (raw, z))
