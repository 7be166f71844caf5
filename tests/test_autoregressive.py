"""Autoregressive models on images so small that every one of them can be scored."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gdl.audit.causality import depends_on_earlier_only
from gdl.audit.enumeration import sums_to_one
from gdl.audit.subjects import all_images
from gdl.distributions import (
    Categorical,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    default_conditional,
)
from gdl.errors import GdlError
from gdl.families.ancestral import PositionSteps, num_final
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.order import pixel_order
from gdl.models import nade
from gdl.models.fvsbn import FVSBN
from gdl.models.made import MADE
from gdl.models.nade import NADE
from gdl.models.pixelcnn import PixelCNN
from gdl.models.pixelcnn_pp import PixelCNNpp
from gdl.models.transformer import Transformer
from gdl.nn import prefix, tied
from gdl.nn.prefix import PrefixLinear


def pixelcnn_pp(*args: Any, **options: Any) -> PixelCNNpp:
    options = {"width": 4, "blocks": 1, "resolutions": 2, **options}
    return PixelCNNpp(*args, **{"likelihood": default_conditional, **options})


def transformer(*args: Any, **options: Any) -> Transformer:
    return Transformer(*args, width=4, blocks=2, heads=2, window=3, **options)


MODELS: dict[str, Callable[..., AutoregressiveModel]] = {
    "fvsbn": lambda *a, **o: FVSBN(*a, **o),
    "made": lambda *a, **o: MADE(*a, hidden=[80], **o),
    "made_deep": lambda *a, **o: MADE(*a, hidden=[60, 80], **o),
    "made_masks": lambda *a, **o: MADE(*a, hidden=[80], num_masks=3, **o),
    "made_orders": lambda *a, **o: MADE(*a, hidden=[60, 80], num_masks=3, order="random"),
    "nade": lambda *a, **o: NADE(*a, hidden=5, **o),
    "fvsbn_symbols": lambda *a, **o: FVSBN(*a, tokens=True, **o),
    "made_symbols": lambda *a, **o: MADE(*a, hidden=[60, 80], tokens=True, **o),
    "made_masks_symbols": lambda *a, **o: MADE(*a, hidden=[80], num_masks=3, tokens=True, **o),
    "nade_symbols": lambda *a, **o: NADE(*a, hidden=5, tokens=True, **o),
    "pixelcnn": lambda *a, **o: PixelCNN(*a, width=6, layers=4, hidden=5, **o),
    "pixelcnn_pp": pixelcnn_pp,
    "transformer": transformer,
    "gpt": lambda *a, **o: transformer(*a, tokens=True, tied=True, **o),
    "gpt_rotary": lambda *a, **o: transformer(
        *a, tokens=True, positions="rotary", mlp="swiglu", **o
    ),
}
ANY_ORDER = ["fvsbn", "made", "made_masks", "nade", "nade_symbols", "transformer", "gpt"]
ANY_LIKELIHOOD = [
    *("fvsbn", "made", "nade", "pixelcnn", "pixelcnn_pp", "transformer", "gpt_rotary"),
]
MIXTURES = ("made_masks", "made_orders", "made_masks_symbols")
each_model = pytest.mark.parametrize("name", MODELS)
each_raster = pytest.mark.parametrize("name", [m for m in MODELS if m != "made_orders"])
each_levels = pytest.mark.parametrize("levels", [2, 4])
SHAPES = {2: (1, 2, 4), 4: (1, 2, 2)}  # 256 images each


@torch.no_grad()
def build(
    name: str, shape: tuple[int, ...], levels: int, size: float = 1.0, **options: Any
) -> AutoregressiveModel:
    """Return a model in float64 with parameters far from their start."""
    torch.manual_seed(0)
    model = MODELS[name](shape, levels, **options).double().eval()
    for p in model.parameters():
        p.add_(size * torch.randn_like(p))
    model.SAMPLES_AT_ONCE = 3000
    if isinstance(model, NADE):
        model.chunk = 3  # several chunks, and a shorter last one, even in a tiny image
    return model


def number(x: Tensor, levels: int) -> Tensor:
    """Return the place of images x in `all_images`."""
    place = levels ** torch.arange(x[0].numel() - 1, -1, -1)
    return (x.flatten(1).long() * place).sum(1)


def check_frequencies(x: Tensor, p: Tensor, levels: int) -> None:
    """Check that images x are draws from probabilities p of all images."""
    n = len(x)
    l1 = (torch.bincount(number(x, levels), minlength=len(p)) / n - p).abs().sum()
    # the expectation of L1 under a true null, and four standard deviations (McDiarmid)
    assert l1 < math.sqrt(2 / (math.pi * n)) * p.sqrt().sum() + 4 / math.sqrt(n)
    uniform = (p - 1 / len(p)).abs().sum()
    assert uniform > 10 / math.sqrt(n), "a test that the uniform distribution passes shows nothing"


@each_levels
@each_model
@torch.no_grad()
def test_probabilities_of_all_images_sum_to_one(name: str, levels: int) -> None:
    shape = SHAPES[levels]
    log_p = build(name, shape, levels).log_prob(all_images(shape, levels))
    assert sums_to_one(-log_p, shape, levels, 1e-9).passed
    assert log_p.std() > 0.5


@each_levels
@each_model
@torch.no_grad()
def test_probabilities_of_colour_images_sum_to_one(name: str, levels: int) -> None:
    shape = (3, 1, 2) if levels == 2 else (3, 1, 1)
    model = build(name, shape, levels)
    log_p = model.log_prob(all_images(shape, levels))
    assert sums_to_one(-log_p, shape, levels, 1e-9).passed


@pytest.mark.parametrize("shape", [(1, 3, 4), (3, 2, 2)])
@each_levels
@each_model
def test_a_position_depends_on_all_before_it_and_on_none_after(
    name: str, levels: int, shape: tuple[int, ...]
) -> None:
    found = depends_on_earlier_only(build(name, shape, levels, size=0.3))
    assert found.passed, found.reason  # that some earlier ones are not looked at is a warning


@each_levels
@each_model
@torch.no_grad()
def test_samples_follow_the_enumerated_distribution(name: str, levels: int) -> None:
    shape = SHAPES[levels]
    model, x = build(name, shape, levels), all_images(shape, levels)
    samples = model.sample(4000)
    assert samples.dtype == torch.uint8
    assert samples.shape == (4000, *shape)
    check_frequencies(samples, model.log_prob(x).exp(), levels)


@each_levels
@each_model
@torch.no_grad()
def test_temperature_divides_the_logits(name: str, levels: int) -> None:
    shape = SHAPES[levels]
    model, x = build(name, shape, levels), all_images(shape, levels)
    samples = model.sample(4000, temperature=0.5)
    params = model.params
    model.params = lambda s: params(s) / 0.5
    check_frequencies(samples, model.log_prob(x).exp(), levels)


@each_levels
@each_raster
@torch.no_grad()
def test_completions_follow_the_enumerated_conditional(name: str, levels: int) -> None:
    shape = SHAPES[levels]
    model, x = build(name, shape, levels), all_images(shape, levels)
    known = torch.zeros(shape, dtype=torch.bool)
    known[:, 0] = True  # the first row precedes the second
    assert model.known_come_first(known)
    given = x[1 + len(x) // 3]
    samples = model.sample_given(4000, given, known)
    assert torch.equal(samples[:, known], given[known].expand(4000, -1))
    agrees = (x == given)[:, known].all(1)
    log_p = model.log_prob(x).masked_fill(~agrees, -math.inf)
    conditional = log_p - log_p.logsumexp(0)
    check_frequencies(samples, conditional.exp(), levels)
    found = model.log_prob_given(x[agrees], known)
    torch.testing.assert_close(found, conditional[agrees])


@each_levels
@each_model
@torch.no_grad()
def test_completions_have_the_probability_that_is_reported(name: str, levels: int) -> None:
    shape = SHAPES[levels]
    model, x = build(name, shape, levels), all_images(shape, levels)
    known = torch.zeros(shape, dtype=torch.bool)
    known[:, :, 1::2] = True  # every second column, in no model's order before the others
    assert not model.known_come_first(known)
    given = x[1 + len(x) // 3]
    agrees = (x == given)[:, known].all(1)
    p = torch.zeros(len(x), dtype=torch.float64)
    p[agrees] = model.log_prob_given(x[agrees], known).exp()
    check_frequencies(model.sample_given(4000, given, known), p, levels)


@each_levels
@each_raster
@torch.no_grad()
def test_known_pixels_after_unknown_ones_are_kept_and_not_looked_at(
    name: str, levels: int
) -> None:
    shape = SHAPES[levels]
    model = build(name, shape, levels)
    known = torch.zeros(shape, dtype=torch.bool)
    known[:, 1] = True
    assert not model.known_come_first(known)
    given = torch.full(shape, levels - 1, dtype=torch.uint8)
    samples = model.sample_given(500, given, known)
    assert torch.equal(samples[:, known], given[known].expand(500, -1))
    assert torch.equal(samples[:, ~known], model.sample(500)[:, ~known])


@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 2, 3)])
@each_levels
@each_model
@torch.no_grad()
def test_the_fast_sampler_is_the_naive_one(name: str, levels: int, shape: tuple[int, ...]) -> None:
    model = build(name, shape, levels, size=0.5)
    fast, naive = model.sample(50, seed=3), model.sample(50, seed=3, naive=True)
    assert torch.equal(fast, naive)
    assert not torch.equal(fast, model.sample(50, seed=4))
    assert torch.equal(fast[:7], model.sample(7, seed=3)), "sample k depends on (seed, k) only"
    g = torch.Generator().manual_seed(0)
    known = (torch.rand(50, 1, *shape[1:], generator=g) < 0.5).expand(-1, shape[0], -1, -1)
    fast, naive = (model.sample_given(50, fast, known, naive=o) for o in (False, True))
    assert torch.equal(fast, naive)


@each_levels
@torch.no_grad()
def test_hidden_layers_after_a_zero_need_no_work(
    levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("nade", (1, 5, 4), levels, size=0.5)
    found, white = model.sample(50), levels - 1
    for value in (0, white):  # no row changes, all rows do
        given = torch.full((1, 5, 4), value, dtype=torch.uint8)
        known = torch.arange(20).view(1, 5, 4) < 10
        fast, naive = (model.sample_given(9, given, known, naive=o) for o in (False, True))
        assert torch.equal(fast, naive)
    monkeypatch.setattr(nade, "by_hand", lambda x: False)
    assert torch.equal(found, model.sample(50))


@pytest.mark.parametrize("order", ["columns", "hilbert", "random", "random-5"])
@pytest.mark.parametrize("name", ANY_ORDER)
@torch.no_grad()
def test_every_order_is_a_distribution_of_its_own(name: str, order: str) -> None:
    shape = SHAPES[2]
    model, x = build(name, shape, 2, order=order), all_images(shape, 2)
    log_p = model.log_prob(x)
    assert sums_to_one(-log_p, shape, 2, 1e-9).passed
    check_frequencies(model.sample(4000), log_p.exp(), 2)
    assert torch.equal(model.image(model.sequence(x)), x)
    raster = build(name, shape, 2)
    assert not torch.allclose(raster.log_prob(x), log_p)
    raster.load_state_dict(model.state_dict())  # the order is saved with the model
    assert torch.equal(raster.log_prob(x), log_p)


@torch.no_grad()
def test_a_mixture_couples_the_channels_of_a_pixel() -> None:
    shape, levels = (3, 1, 2), 2
    model = build("pixelcnn_pp", shape, levels, size=0.3, likelihood=DiscretizedLogisticMixture)
    assert (model.num_positions, model.values) == (2, 3)
    x = all_images(shape, levels)
    p = model.log_prob(x).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-9)
    check_frequencies(model.sample(10_000), p, levels)
    first = p.view([2] * 6).movedim((0, 2, 4), (0, 1, 2)).flatten(3).sum(3)  # of the first pixel
    red, green = first.sum((1, 2)), first.sum((0, 2))
    assert (first.sum(2) - red[:, None] * green).abs().max() > 0.01
    known = torch.zeros(shape, dtype=torch.bool)
    known[0] = True
    with pytest.raises(GdlError, match="use one mask"):
        model.sample_given(1, x[0], known)


def test_sizes_that_do_not_fit_name_the_fix() -> None:
    with pytest.raises(GdlError, match=r"use smaller images or model=pixelcnn"):
        Transformer((3, 64, 64), 256)
    with pytest.raises(GdlError, match=r"heads=3 do not divide model.width=64: use model.heads=1"):
        Transformer((1, 8, 8), 2, heads=3)
    with pytest.raises(GdlError, match=r"model.window must be odd, got 4: use 5"):
        Transformer((1, 8, 8), 2, window=4)
    for name in ("kernel", "first_kernel"):
        with pytest.raises(GdlError, match=rf"model.{name} must be odd, got 4: use 5"):
            PixelCNN((1, 8, 8), 2, **{name: 4})


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 7), (28, 28)])
@pytest.mark.parametrize("name", ["raster", "columns", "hilbert", "random", "random-7"])
def test_orders_visit_every_pixel_once(name: str, size: tuple[int, int]) -> None:
    order = pixel_order(name, *size)
    assert torch.equal(order.sort().values, torch.arange(size[0] * size[1]))


def test_orders() -> None:
    assert pixel_order("columns", 2, 3).tolist() == [0, 3, 1, 4, 2, 5]
    assert not torch.equal(pixel_order("random-1", 8, 8), pixel_order("random-2", 8, 8))
    curve = pixel_order("hilbert", 8, 8)
    y, x = curve // 8, curve % 8
    assert torch.equal(y.diff().abs() + x.diff().abs(), torch.ones(63, dtype=torch.long))
    with pytest.raises(GdlError, match=r"must be raster, columns, hilbert.*'zigzag'"):
        pixel_order("zigzag", 2, 2)


def test_channels_of_a_pixel_follow_one_another() -> None:
    model = build("fvsbn", (3, 2, 2), 4)
    x = torch.arange(12, dtype=torch.uint8).view(1, 3, 2, 2)
    assert model.sequence(x).flatten().tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    assert torch.equal(model.image(model.sequence(x)), x)


@pytest.mark.parametrize(
    "likelihood", [Categorical, DiscretizedLogistic, DiscretizedLogisticMixture]
)
@pytest.mark.parametrize("name", ANY_LIKELIHOOD)
@torch.no_grad()
def test_other_likelihoods(name: str, likelihood: Any) -> None:
    shape = (1, 2, 2)
    model, x = build(name, shape, 4, size=0.3, likelihood=likelihood), all_images(shape, 4)
    log_p = model.log_prob(x)
    assert sums_to_one(-log_p, shape, 4, 1e-9).passed
    check_frequencies(model.sample(4000), log_p.exp(), 4)


@each_levels
@each_model
def test_initialization_fits_independent_pixels(name: str, levels: int) -> None:
    g = torch.Generator().manual_seed(0)
    x = (torch.rand(500, 1, 3, 4, generator=g) ** 4 * levels).to(torch.uint8)
    torch.manual_seed(0)
    model = MODELS[name]((1, 3, 4), levels)
    before = model.log_prob(x).mean()
    model.initialize(x)
    assert model.log_prob(x).mean() > before + 1


@pytest.mark.parametrize("sizes", [(35, 1, 6), (11, 4, 6), (1, 1, 1)])
def test_equal_hidden_states_may_be_computed_once(
    sizes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    n, p, examples = sizes
    g = torch.Generator().manual_seed(0)
    draw = lambda *size: torch.randn(size, generator=g, dtype=torch.float64)  # noqa: E731
    x = draw(n, examples) * (torch.rand(n, examples, generator=g) < 0.3)
    leaves = [t.requires_grad_() for t in (draw(n, 5), draw(5), draw(n, p, 5))]
    g_out = draw(n, examples, p)

    def evaluate() -> list[Tensor]:
        out = tied.prefix_outputs(x, *leaves, chunk=4)
        return [out, *torch.autograd.grad(out, leaves, g_out)]

    found = evaluate()
    monkeypatch.setattr(tied, "by_hand", lambda x: False)
    plain = evaluate()
    weight, bias, output = leaves
    h = [(bias + x[:i].T @ weight[:i]).sigmoid() for i in range(n)]
    out = torch.stack([a @ v.T for a, v in zip(h, output, strict=True)])
    expected = [out, *torch.autograd.grad(out, leaves, g_out)]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(plain, expected)


@each_levels
@pytest.mark.parametrize("name", [m for m in MODELS if m not in MIXTURES])
@torch.no_grad()
def test_without_temperature_every_value_is_the_most_likely(name: str, levels: int) -> None:
    model = build(name, SHAPES[levels], levels)
    (x,) = model.sample(2, temperature=0).unique(dim=0)
    every = torch.stack([model.sequence(x[None])] * levels)
    for i in range(model.num_positions):
        t = every.clone()
        t[..., i, 0] = torch.arange(levels, dtype=torch.uint8)[:, None]
        each = torch.stack([model.position_log_probs(model.image(u))[0, i] for u in t])
        assert int(each.argmax()) == int(model.sequence(x[None])[0, i])


@pytest.mark.parametrize("sizes", [(5, 3), (300, 300), (700, 150), (150, 700)])
def test_a_staircase_is_a_masked_matrix(
    sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    outputs, inputs = sizes
    reach = torch.randint(0, inputs + 1, (outputs,)).sort().values
    layer, bias = PrefixLinear(inputs, reach).double(), torch.randn(outputs).double()
    x = torch.randn(4, inputs, dtype=torch.float64, requires_grad=True)
    g = torch.randn(4, outputs, dtype=torch.float64)
    leaves = [x, layer.weight, bias.requires_grad_()]
    found = [layer(x, bias), *torch.autograd.grad(layer(x, bias), leaves, g)]
    monkeypatch.setattr(prefix, "by_hand", lambda x: False)
    expected = [layer(x, bias), *torch.autograd.grad(layer(x, bias), leaves, g)]
    torch.testing.assert_close(found, expected)
    seen = torch.autograd.functional.jacobian(lambda x: layer(x, bias).sum(0), x)[:, 0] != 0
    assert torch.equal(seen, torch.arange(inputs) < reach[:, None])


@each_levels
@each_model
@torch.no_grad()
def test_low_precision_changes_little(name: str, levels: int) -> None:
    model = build(name, (1, 4, 4), levels, size=0.3).float()
    x = torch.randint(levels, (50, 1, 4, 4), dtype=torch.uint8)
    full = model.log_prob(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model.log_prob(x)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, full, rtol=0.02, atol=0.1)


class Counted(FVSBN):
    """A model that counts its whole passes, and has no faster steps."""

    passes = 0

    def params(self, s: Tensor) -> Tensor:
        self.passes += 1
        return super().params(s)

    def steps(self, n: int) -> PositionSteps:
        return AutoregressiveModel.steps(self, n)


@torch.no_grad()
def test_a_pass_finds_as_many_positions_as_were_guessed_rightly() -> None:
    torch.manual_seed(0)
    model = Counted((1, 4, 5), 2)
    model.sample(30)  # independent pixels: a first guess and one that is right
    assert model.passes == 2
    for strength in (1.0, 100.0):
        model.linear.weight.normal_().mul_(strength)
        model.passes = 0
        found = model.sample(30, seed=1)
        assert 2 < model.passes <= 20, "at least one position per pass"
        assert torch.equal(found, model.sample(30, seed=1, naive=True))
    known = torch.arange(20).view(1, 4, 5) < 19
    model.passes = 0
    model.sample_given(30, found, known)
    assert model.passes <= 2, "known pixels are guessed rightly after one pass"


def test_leading_positions_are_final_up_to_the_first_wrong_guess() -> None:
    guess = torch.tensor([[0, 1, 1, 0], [0, 1, 0, 0]])[..., None]
    assert num_final(guess, guess) == 4
    wrong = guess.clone()
    wrong[1, 3] = 1  # nothing depends on the last one
    assert num_final(wrong, guess) == 4
    wrong[0, 1] = 0
    assert num_final(wrong, guess) == 2
    assert num_final(1 - guess, guess) == 1
