"""Glow's steps: by hand, by autograd, and as a chain of the bijections they consist of."""

import pytest
import torch
from torch import Tensor, nn

from gdl.flows.base import Bijection, Chain, initialize
from gdl.flows.coupling import AdditiveCoupling, AffineCoupling, sigmoid_scale
from gdl.flows.linear import ActNorm, Conv1x1, matrices, mix_channels
from gdl.flows.stacked.glow_steps import GlowSteps
from gdl.flows.stacked.glow_steps_cpu import frame, scatter, windows
from gdl.flows.stacked.glow_steps_gpu import run_steps, step
from gdl.flows.stacked.vector_couplings import VectorCouplings

SHAPES = [(4, 4, 4), (6, 5, 3), (2, 1, 1), (2, 2, 7)]


@torch.no_grad()
def build(shape: tuple[int, ...], affine: bool, net_norm: bool = True) -> tuple[GlowSteps, Tensor]:
    torch.manual_seed(0)
    steps = GlowSteps(shape[0], 3, 8, affine, net_norm).double()
    x = torch.randn(5, *shape, dtype=torch.float64)
    initialize(steps, x)
    for p in steps.parameters():
        p.add_(0.1 * torch.randn_like(p))
    return steps, x


class Net(nn.Module):
    """The k-th network of some steps, as convolutions."""

    def __init__(self, steps: GlowSteps, k: int) -> None:
        super().__init__()
        w1, b1, w2, b2, w3, b3 = (w[k].detach() for w in steps._net())
        c, o = w1.shape[1] // 9, len(b3)
        layers = [
            (w1.view(-1, 3, 3, c).permute(0, 3, 1, 2), b1),
            (w2[:, :, None, None], b2),
            (w3.view(3, 3, o, -1).permute(2, 3, 0, 1).flip(2, 3), b3),
        ]
        self.layers = nn.ModuleList()
        for weight, bias in layers:
            conv = nn.Conv2d(*weight.shape[1::-1], weight.shape[2], padding="same").double()
            conv.load_state_dict({"weight": weight, "bias": bias})
            self.layers.append(conv)

    def forward(self, x: Tensor) -> Tensor:
        first, second, third = self.layers
        return third(second(first(x.clamp(-4, 4)).relu()).relu())


@torch.no_grad()
def as_chain(steps: GlowSteps) -> Chain:
    parts: list[Bijection] = []
    for k in range(steps.depth):
        norm = ActNorm(steps.num_channels).double()
        state = {"bias": steps.norm_bias[k], "log_scale": steps.norm_log_scale[k]}
        norm.load_state_dict(state | {"initialized": torch.tensor(True)})
        mixer = Conv1x1(steps.num_channels).double()
        for name in ("packed", "permutation", "sign"):
            getattr(mixer, name).copy_(getattr(steps, name)[k : k + 1])
        net = Net(steps, k)
        if steps.b3.shape[1] == steps.num_channels:
            coupling: Bijection = AffineCoupling(net, scale=sigmoid_scale)
        else:
            coupling = AdditiveCoupling(net)
        parts += [norm, mixer, coupling]
    return Chain(parts)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_steps_are_the_chain_of_their_bijections(shape: tuple[int, ...], affine: bool) -> None:
    steps, x = build(shape, affine)
    x = 3 * x  # some of which is clipped for the networks
    chain = as_chain(steps)
    for ours, theirs in zip(steps(x), chain(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(steps.inverse(x), chain.inverse(x), rtol=1e-10, atol=1e-10)


def in_matrix_form(steps: GlowSteps, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the steps do, in the form that is compiled for a GPU."""
    maps = steps._maps()
    z, log_det = run_steps(step, x.dtype, x, maps.weight, maps.bias, *maps.net)
    return z, log_det + maps.log_det * x[0, 0].numel()


@pytest.mark.parametrize("net_norm", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_by_hand_and_by_inversion_are_those_of_autograd(
    shape: tuple[int, ...], affine: bool, net_norm: bool
) -> None:
    steps, x = build(shape, affine, net_norm)
    cotangent = torch.randn_like(x)

    def gradients(way: str) -> dict[str, Tensor]:
        steps.checkpoint_conditioners = way in ("autograd", "matrices")
        steps.reversible = way == "by inversion"
        assert steps._by_hand(x) == (way == "by hand")
        v = (3 * x).requires_grad_()  # some of which is clipped for the networks
        z, log_det = steps(v) if way != "matrices" else in_matrix_form(steps, v)
        loss = (z * cotangent).sum() + (log_det * torch.arange(1.0, 6.0)).sum()
        names = dict(steps.named_parameters()) | {"x": v}
        return dict(zip(names, torch.autograd.grad(loss, list(names.values())), strict=True))

    expected = gradients("autograd")
    for way in ("by hand", "by inversion", "matrices"):
        for name, grad in gradients(way).items():
            torch.testing.assert_close(
                grad, expected[name], rtol=1e-9, atol=1e-9, msg=f"{name} {way}"
            )


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


@pytest.mark.parametrize("depth", [1, 4, 5])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("inputs_too", [True, False])
def test_couplings_of_vectors_by_hand_are_their_layers(
    depth: int, affine: bool, inputs_too: bool
) -> None:
    torch.manual_seed(0)
    couplings = VectorCouplings(6, depth, [8, 5], affine, init_range=0.5).double()
    x = torch.randn(7, 6, dtype=torch.float64, requires_grad=inputs_too)
    chain = Chain(couplings.layers())
    weights = [*couplings.parameters(), *([x] if inputs_too else [])]
    results = []
    for flow in (couplings, chain):
        z, log_det = flow(x)
        loss = z.square().sum() + (log_det * torch.arange(1.0, 8.0)).sum()
        results.append([z, log_det, *torch.autograd.grad(loss, weights)])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(couplings.inverse(z), x, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(couplings.inverse(z), x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_scatter_is_the_adjoint_of_windows(shape: tuple[int, ...]) -> None:
    c, h, w = shape
    x = torch.randn(3, h, w, c, dtype=torch.float64)
    y = torch.randn(3 * h * w, 9 * c, dtype=torch.float64)
    other = (scatter(y, 3, h, w).view_as(x) * x).sum()
    torch.testing.assert_close((windows(x, frame(x, 3, h, w, c)) * y).sum(), other)


@torch.no_grad()
def test_the_inverse_by_hand_works_on_any_number_of_images() -> None:
    steps, x = build((4, 4, 4), affine=True)
    many = x.repeat(60, 1, 1, 1)
    z, _ = steps(many)
    torch.testing.assert_close(steps.inverse(z), many, rtol=1e-9, atol=1e-9)
    with torch.enable_grad():
        torch.testing.assert_close(steps.inverse(z).detach(), many, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_matrices_kept_for_sampling_follow_the_parameters() -> None:
    steps, x = build((4, 4, 4), affine=True)
    steps.eval()
    for change in (0.0, 0.02, -0.04):
        for p in steps.parameters():
            p.add_(change)
        torch.testing.assert_close(steps.inverse(steps(x)[0]), x, rtol=1e-9, atol=1e-9)
        kept = steps._kept
        steps.inverse(x)
        assert kept is not None
        assert steps._kept is kept
    for p in steps.parameters():
        p.data.mul_(0.5)  # as weight averaging does, unseen by autograd's version counter
    steps.train().eval()
    torch.testing.assert_close(steps.inverse(steps(x)[0]), x, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_initialisation_whitens_what_each_layer_of_each_step_sees() -> None:
    torch.manual_seed(0)
    steps = GlowSteps(4, 3, 8).double()
    x = 2 * torch.randn(200, 4, 4, 4, dtype=torch.float64) + 1
    initialize(steps, x)
    assert bool(steps.initialized)
    maps, h = steps._maps(), x
    rotations = matrices(steps.packed, steps.permutation, steps.sign)
    for k in range(3):
        mixed = mix_channels(h, maps.weight[k], maps.bias[k])
        net = Net(steps, k)
        first = net.layers[0](mixed.chunk(2, 1)[0])
        second = net.layers[1](first.relu())
        normed = mix_channels(mixed, torch.linalg.inv(rotations[k]))
        for a in (normed, first, second):
            flat = a.transpose(0, 1).flatten(1)
            torch.testing.assert_close(flat.mean(1), torch.zeros_like(flat[:, 0]))
            torch.testing.assert_close(flat.var(1, correction=0), torch.ones_like(flat[:, 0]))
        h, _ = steps._step(h, maps.weight[k], maps.bias[k], *(w[k] for w in maps.net))
