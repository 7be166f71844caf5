"""Stacked bijections: each of their implementations against the chain of plain bijections."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from gdl.flows.base import Bijection, DataInitialized, initialize
from gdl.flows.stacked import Form, GlowSteps, Stacked, VectorCouplings, choose
from gdl.flows.stacked.glow_steps_cpu import frame, scatter, windows
from gdl.flows.stacked.glow_steps_gpu import run_steps, step

SHAPES = [(4, 4, 4), (6, 5, 3), (2, 1, 1), (2, 2, 7), (2, 9, 8)]
"""Of the images; the last one has more than 64 pixels, where the inverse by hand is another."""


@torch.no_grad()
def glow(shape: tuple[int, ...], affine: bool, net_norm: bool = True) -> tuple[GlowSteps, Tensor]:
    torch.manual_seed(0)
    steps = GlowSteps(shape[0], 3, 8, affine, net_norm).double()
    x = torch.randn(5, *shape, dtype=torch.float64)
    initialize(steps, x)
    for p in steps.parameters():
        p.add_(0.1 * torch.randn_like(p))
    return steps, 3 * x  # some of which is clipped for the networks


def vectors(depth: int, affine: bool, d: int) -> tuple[VectorCouplings, Tensor]:
    torch.manual_seed(0)
    couplings = VectorCouplings(d, depth, [8, 5], affine, init_range=0.5).double()
    return couplings, torch.randn(5, d, dtype=torch.float64)


STACKED: dict[str, Callable[[], tuple[Stacked, Tensor]]] = {
    f"glow {shape} {'affine' if affine else 'additive'}{'' if norm else ' without norms'}": (
        lambda shape=shape, affine=affine, norm=norm: glow(shape, affine, norm)
    )
    for shape in SHAPES
    for affine in (True, False)
    for norm in (True, False)
} | {
    f"vectors {depth} {'affine' if affine else 'additive'} of {d}": (
        lambda depth=depth, affine=affine, d=d: vectors(depth, affine, d)
    )
    for depth in (1, 4, 5)
    for affine in (True, False)
    for d in (2, 3, 5, 6)
}
each = pytest.mark.parametrize("name", STACKED)


class MatrixForm(Bijection):
    """The steps as they are compiled for a GPU, here not compiled."""

    def __init__(self, steps: GlowSteps) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.steps._maps()
        z, log_det = run_steps(step, x.dtype, x, maps.weight, maps.bias, *maps.net)
        return z, log_det + maps.log_det * x[0, 0].numel()

    def inverse(self, z: Tensor) -> Tensor:
        return self.steps.inverse(z)


@contextmanager
def in_form(form: str, stacked: Stacked, x: Tensor) -> Iterator[Bijection]:
    """Let the stacked bijection run in one form, whatever it would choose."""
    stacked.checkpoint_conditioners = form == "checkpointed"
    stacked.reversible = form == "reversible"
    with pytest.MonkeyPatch.context() as patch:
        if form == "eager":
            patch.setattr("gdl.flows.stacked.forms.by_hand", lambda _: False)
        used = choose(
            x, checkpointed=form == "checkpointed", reversible=stacked.reversible, compiled=False
        )
        expected = {"checkpointed": "eager", "matrices": "fused"}.get(form, form)
        assert used is Form(expected)
        yield (
            MatrixForm(stacked)
            if isinstance(stacked, GlowSteps) and form == "matrices"
            else stacked
        )


def forms(name: str) -> list[str]:
    of_glow = ["reversible", "matrices"] if name.startswith("glow") else []
    return ["fused", "eager", "checkpointed", *of_glow]


def gradients(outputs: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """Return the gradients of a fixed random function of the outputs."""
    generator = torch.Generator().manual_seed(0)
    loss = sum(
        (out * torch.randn(out.shape, generator=generator, dtype=out.dtype)).sum()
        for out in outputs
    )
    return list(torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True))


def close(ours: list[Tensor], expected: list[Tensor], what: str) -> None:
    for i, (a, b) in enumerate(zip(ours, expected, strict=True)):
        torch.testing.assert_close(
            a, b, rtol=1e-9, atol=1e-9, msg=lambda m, i=i: f"{what}, tensor {i}: {m}"
        )


@each
def test_every_form_maps_and_learns_as_the_plain_chain_does(name: str) -> None:
    stacked, x = STACKED[name]()

    def results(flow: Bijection, inputs_too: bool = True) -> list[Tensor]:
        v = x.clone().requires_grad_(inputs_too)
        outputs = list(flow(v))
        weights = [*stacked.parameters(), *([v] if inputs_too else [])]
        return [*outputs, *gradients(outputs, weights)]

    expected = results(stacked.plain())
    for form in forms(name):
        with in_form(form, stacked, x) as flow:
            close(results(flow), expected, form)
            close(results(flow, inputs_too=False), expected[:-1], f"{form}, without x")
            with torch.no_grad():
                close(list(flow(x)), expected[:2], f"{form}, without gradients")
    assert all(g.abs().max() > 0 for g in expected[2:])


@each
def test_every_inverse_is_the_plain_chains(name: str) -> None:
    stacked, z = STACKED[name]()

    def results(flow: Bijection) -> list[Tensor]:
        v = z.clone().requires_grad_()
        x = flow.inverse(v)
        return [x, *gradients([x], [*stacked.parameters(), v])]

    expected = results(stacked.plain())
    many = z.repeat(60, *[1] * (z.dim() - 1))
    with torch.no_grad():
        again, _ = stacked.plain()(expected[0])
        torch.testing.assert_close(again, z, rtol=1e-9, atol=1e-9)
    for form in forms(name):
        with in_form(form, stacked, z) as flow:
            close(results(flow), expected, form)
            with torch.no_grad():
                close([flow.inverse(z)], expected[:1], f"{form}, without gradients")
                close([flow.inverse(many)[-5:]], expected[:1], f"{form}, many images")


@each
def test_the_plain_chain_computes_with_the_parameters_of_the_stacks(name: str) -> None:
    stacked, x = STACKED[name]()
    before = torch.get_rng_state()
    chain = stacked.plain()
    assert torch.equal(torch.get_rng_state(), before)
    assert not list(chain.parameters())
    depth = len(next(stacked.parameters()))
    assert len(chain.steps) == depth
    assert len(stacked.layers()) == (3 * depth if name.startswith("glow") else depth)
    optimizer = torch.optim.Adam(stacked.parameters(), 1e-3)
    z, log_det = chain(x)
    (z.square().flatten(1).sum(1) / 2 - log_det).mean().backward()
    optimizer.step()
    updated = stacked.plain()(x)
    assert not torch.allclose(updated[0], z)
    close(list(stacked(x)), list(updated), "after an update")


@pytest.mark.parametrize("net_norm", [True, False])
@torch.no_grad()
def test_stacked_steps_start_from_data_as_plain_ones_do(net_norm: bool) -> None:
    torch.manual_seed(0)
    steps = GlowSteps(4, 3, 8, net_norm=net_norm).double()
    steps.w3.normal_(std=0.1)
    x = 2 * torch.randn(50, 4, 4, 4, dtype=torch.float64) + 1
    plain = copy.deepcopy(steps.plain())
    initialize(plain, x)
    initialize(steps, x)
    assert all(bool(m.initialized) for m in plain.modules() if isinstance(m, DataInitialized))
    close(list(steps(x)), list(plain(x)), "initialised")
    for k, plain_step in enumerate(plain.steps):
        whitened = plain_step.steps[0](x)[0].transpose(0, 1).flatten(1)
        torch.testing.assert_close(whitened.mean(1), torch.zeros(4, dtype=x.dtype))
        torch.testing.assert_close(whitened.std(1, correction=0), torch.ones(4, dtype=x.dtype))
        close([steps.norm_bias[k]], [plain_step.steps[0].bias], "bias")
        x, _ = plain_step(x)


def test_which_form_runs() -> None:
    x = torch.zeros(1)
    assert choose(x) is choose(x, compiled=True) is Form.FUSED
    assert choose(x, checkpointed=True) is Form.EAGER
    assert choose(x, reversible=True) is choose(x, reversible=True, compiled=True)
    assert choose(x, reversible=True) is Form.REVERSIBLE
    with torch.autocast("cpu", torch.bfloat16):
        assert choose(x) is choose(x, inverse=True) is Form.EAGER
        assert choose(x, compiled=True) is Form.COMPILED
    elsewhere = torch.zeros(1, device="meta")
    assert choose(elsewhere) is Form.EAGER
    assert choose(elsewhere, compiled=True) is Form.COMPILED
    assert choose(x, inverse=True) is Form.EAGER  # a gradient may be wanted
    with torch.no_grad():
        assert choose(x, inverse=True) is Form.FUSED
        assert choose(elsewhere, compiled=True) is choose(elsewhere, inverse=True) is Form.EAGER


def test_reversible_steps_keep_no_more_activations_when_there_are_more_of_them() -> None:
    def kept(depth: int, **options: bool) -> int:
        """Return how many numbers that depend on the batch the graph keeps."""
        steps, total = GlowSteps(4, depth, 8, **options), 0
        x = torch.randn(2, 4, 32, 32, requires_grad=True)
        initialize(steps, x.detach())

        def count(t: Tensor) -> Tensor:
            nonlocal total
            total += t.numel() if t.numel() >= len(x) * x[0, 0].numel() else 0
            return t

        with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
            z, log_det = steps(x)
        (z.sum() + log_det.sum()).backward()
        return total

    assert kept(2, reversible=True) == kept(6, reversible=True) > 0
    assert kept(6, checkpoint_conditioners=True) > 2 * kept(2, checkpoint_conditioners=True)


def test_reversible_gradients_stay_close_in_float32_over_many_steps() -> None:
    torch.manual_seed(0)
    steps = GlowSteps(12, 32, 16)
    x = torch.randn(4, 12, 8, 8)
    initialize(steps, x)
    with torch.no_grad():
        for p in steps.parameters():
            p.add_(0.02 * torch.randn_like(p))

    def gradient(reversible: bool) -> Tensor:
        steps.reversible = reversible
        z, log_det = steps(x)
        loss = (z.square().sum() / 2 - log_det.sum()) / len(x)
        grads = torch.autograd.grad(loss, list(steps.parameters()))
        return torch.cat([g.flatten() for g in grads])

    expected = gradient(False)
    assert (gradient(True) - expected).norm() < 1e-3 * expected.norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_scatter_is_the_adjoint_of_windows(shape: tuple[int, ...]) -> None:
    c, h, w = shape
    x = torch.randn(3, h, w, c, dtype=torch.float64)
    y = torch.randn(3 * h * w, 9 * c, dtype=torch.float64)
    other = (scatter(y, 3, h, w).view_as(x) * x).sum()
    torch.testing.assert_close((windows(x, frame(x, 3, h, w, c)) * y).sum(), other)


@torch.no_grad()
def test_matrices_are_kept_for_sampling_while_nothing_changes() -> None:
    steps, x = glow((4, 4, 4), affine=True)
    steps.eval()
    steps.inverse(x)
    kept = steps._kept
    steps.inverse(x)
    assert kept is not None
    assert steps._kept is kept
