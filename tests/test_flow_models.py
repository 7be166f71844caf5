"""Flows as models: precision, bounds from more noise, inversion, gradients that reach everything."""

import functools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gdl.errors import GdlError
from gdl.evaluation import dequantization_bound, inversion
from gdl.families.flow import FlowModel
from gdl.flows import Affine, Chain, Flatten, GlowStep, NormalPrior, Squeeze
from gdl.models.gaussian import Gaussian
from gdl.models.glow import Glow
from gdl.models.nice import NICE
from gdl.models.realnvp import RealNVP
from gdl.nn.coupling_networks import ConvConditioner, NoiseConditioner
from gdl.tasks import density, interpolate, reconstruct

SHAPE, LEVELS = (1, 8, 8), 17


def plain_glow(**options: object) -> FlowModel:
    """Return a Glow of one level, its steps one by one."""
    steps = [GlowStep(4, width=16) for _ in range(2)]
    flow = Chain([Affine(1.0, -0.5), Squeeze(), *steps, Flatten((4, 4, 4))])
    return FlowModel(SHAPE, LEVELS, flow, NormalPrior(), **options)


FLOWS = {
    "gaussian": lambda **o: Gaussian(SHAPE, LEVELS, **o),
    "nice": lambda **o: NICE(SHAPE, LEVELS, **{"hidden": [32], **o}),
    "realnvp": lambda **o: RealNVP(SHAPE, LEVELS, width=8, **{"blocks": 1, **o}),
    "glow": lambda **o: Glow(SHAPE, LEVELS, depth=2, width=16, **o),
    "glow_logit": lambda **o: Glow(SHAPE, LEVELS, depth=2, width=16, alpha=1e-3, **o),
    "glow_additive": lambda **o: Glow(SHAPE, LEVELS, depth=2, coupling="additive", width=16, **o),
    "plain_glow": plain_glow,
}  # fmt: skip
each_flow = pytest.mark.parametrize("name", FLOWS)


def images(n: int = 8) -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randint(0, LEVELS, (n, *SHAPE), generator=g, dtype=torch.uint8)


def greys(n: int = 64) -> Tensor:
    """Return images of five of the levels, which a flow can find more likely than noise."""
    return images(n) // 4 + 7


def of(x: Tensor) -> Any:
    """Return a data set with these test images."""
    return SimpleNamespace(images=lambda split: x)


@torch.no_grad()
def build(name: str, x: Tensor | None = None, **options: object) -> FlowModel:
    torch.manual_seed(0)
    model = FLOWS[name](**options)
    model.initialize(images(64) if x is None else x)
    for p in model.parameters():
        p.add_(0.03 * torch.randn_like(p))
    return model.eval()


def seeded_nll(model: FlowModel, x: Tensor) -> Tensor:
    torch.manual_seed(1)
    return model.loss(x)["nll"].detach()


@each_flow
def test_a_flow_that_has_seen_no_data_does_nothing_but_say_so(name: str) -> None:
    torch.manual_seed(0)
    model, x, z = FLOWS[name](), images(), torch.zeros(2, 64)
    uses = (lambda: model.loss(x), lambda: model.encode(x), lambda: model.decode(z))
    for use in (*uses, lambda: model.train().log_prob(x), lambda: model.sample(2)):
        with pytest.raises(GdlError, match=r"seen none yet: call model\.initialize"):
            use()
    model.load_state_dict(build(name).state_dict())
    for use in uses:
        use()


@pytest.mark.parametrize("name", ["realnvp", "glow"])
def test_the_sanity_check_is_no_initialisation(name: str) -> None:
    options = {"num_sanity_val_steps": 2, "max_steps": 0, "logger": False, "accelerator": "cpu"}
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False}
    batches = DataLoader(list(images(16).split(8)), batch_size=None)
    fit = lambda m: pl.Trainer(**options, **quiet).fit(m, batches, batches)  # noqa: E731
    model = FLOWS[name]()
    with pytest.raises(GdlError, match="seen none yet"):
        fit(model)
    before = build(name).state_dict()
    model.load_state_dict(before)
    fit(model)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@each_flow
def test_low_precision_stays_in_the_networks(name: str) -> None:
    model, x = build(name), images()
    full = seeded_nll(model, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = seeded_nll(model, x)
    assert low.dtype == torch.float32
    assert not torch.equal(low, full)
    bits = model.bits_per_dim(float((low - full).abs().max()))
    assert bits < 0.02


@each_flow
def test_more_noise_samples_tighten_the_bound(name: str) -> None:
    model, x = build(name), images(100)
    one, eight = (dequantization_bound(model, x.split(50), k).mean() for k in (1, 8))
    assert eight < one


@each_flow
def test_images_come_back(name: str) -> None:
    found = inversion(build(name), of(images(50)), n=50, batch_size=25)
    assert found["inversion/max_error"] < 1e-3  # levels of a pixel, in float32
    assert found["inversion/mean_error"] <= found["inversion/max_error"]
    assert found["samples/nonfinite"] == 0


@each_flow
def test_reconstructions_are_exact_and_interpolations_end_at_the_files(
    name: str, tmp_path: Path
) -> None:
    model, x = build(name), images(32)
    found = reconstruct(model, x)
    assert 0 <= found["reconstruction/mean_error"] <= found["reconstruction/max_error"] < 1e-3
    assert torch.equal(found["reconstructions"].images[0::2].flatten(0, 1), x.float())
    files = [str(tmp_path / f"{i}.png") for i in range(2)]
    for file, image in zip(files, x, strict=False):
        Image.fromarray((image[0].int() * 15).to(torch.uint8).numpy()).save(file)
    walk = interpolate(model, x, images=files, steps=5)["interpolation"].images
    ends = torch.stack([walk[0, 0], walk[0, -1]])
    torch.testing.assert_close(ends, (x[:2].int() * 15 * 17 // 256).float(), rtol=0, atol=1e-3)


@torch.no_grad()
def test_samples_that_are_not_finite_are_counted() -> None:
    model = build("nice")
    model.bijection.steps[-1].log_scale.fill_(-1000.0)
    found = inversion(model, of(images(4)), n=20)
    assert found["samples/nonfinite"] == found["samples/unlikely"] == 1


@each_flow
@pytest.mark.parametrize("tested", ["likely", "unlikely"])
def test_samples_that_leave_the_range_of_the_pixels_are_counted(name: str, tested: str) -> None:
    # a model that finds real images unlikely is worse, and that must not excuse its samples
    model, data = (
        build(name, greys()),
        of(greys() if tested == "likely" else images(64) // 16 * 16),
    )
    assert inversion(model, data, n=50)["samples/unlikely"] == 0
    draw = model.prior.sample
    model.prior.sample = lambda noise, num_dims: 50 * draw(noise, num_dims)
    found = inversion(model, data, n=50)
    assert found["samples/unlikely"] > 0.9
    assert found["samples/nonfinite"] == 0


@each_flow
def test_variational_dequantization_trains_its_network(name: str) -> None:
    model = build(name, dequantization="variational")
    model.loss(images())["loss"].mean().backward()
    assert all(
        p.grad is not None and p.grad.abs().max() > 0 for p in model.dequantize.parameters()
    )  # type: ignore[union-attr]


def gradients(model: FlowModel, x: Tensor) -> tuple[list[Tensor], int]:
    """Return the gradients of the parameters, and how many other numbers the graph keeps."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return t

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        loss = model.loss(x)["loss"].mean()
    return list(torch.autograd.grad(loss, list(model.parameters()))), sum(kept.values())


@pytest.mark.parametrize(
    ("name", "deeper"),
    [("nice", {"hidden": [32] * 4}), ("realnvp", {"blocks": 4}), ("glow", None)],
)
def test_checkpointed_networks_learn_the_same_and_keep_nothing(name: str, deeper: dict) -> None:
    x = images()
    plain, checkpointed = (build(name, checkpoint_conditioners=c) for c in (False, True))
    expected, _ = gradients(plain, x)
    found, kept = gradients(checkpointed, x)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    if deeper:
        assert gradients(build(name, checkpoint_conditioners=True, **deeper), x)[1] == kept


def kept_names(model: FlowModel) -> tuple[list[str], list[str]]:
    return list(model.state_dict()), [n for n, _ in model.named_parameters()]


@pytest.fixture
def agree_when_compiled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Hold log_prob, gradients and samples of a compiled model against those of the eager one."""

    def check(name: str, options: dict) -> None:
        eager, compiled = build(name, **options), build(name, **options)
        names = kept_names(compiled)
        compiled.compile_networks()
        assert kept_names(compiled) == names
        x = images(4)
        expected = [seeded_nll(eager, x), *gradients(eager, x)[0], eager.sample_continuous(3)]
        # on a CPU these steps are written by hand, in place of what is compiled elsewhere
        monkeypatch.setattr("gdl.flows.stacked.forms.by_hand", lambda _: False)
        found = [seeded_nll(compiled, x)]
        gradients(compiled, x)  # of Glow only a size that comes again is compiled
        found += [*gradients(compiled, x)[0], compiled.sample_continuous(3)]
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)

    torch.compiler.reset()
    return check


ONE_LEVEL = [
    ("nice", {}),
    ("realnvp", {"num_scales": 1}),
    ("glow", {"num_levels": 1}),
    ("plain_glow", {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), ONE_LEVEL)
def test_compiled_networks_agree(
    name: str, options: dict, agree_when_compiled: Callable[..., None]
) -> None:
    agree_when_compiled(name, options)


@pytest.mark.parametrize(("name", "options"), ONE_LEVEL)
def test_a_kind_of_network_is_traced_once_for_all_couplings(
    name: str,
    options: dict,
    agree_when_compiled: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graphs = 0

    def count(graph: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        nonlocal graphs
        graphs += 1
        return graph

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=count))
    agree_when_compiled(name, options)
    # one with gradients for the loss of 4 images, and one to draw 3 of them without; Glow has only
    # the former, and of its plain steps the first to be inverted sees another order in memory
    assert graphs == {"glow": 1, "plain_glow": 3}.get(name, 2)


def test_compiling_reaches_every_network(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: found.append(self))
    model = build("realnvp", dequantization="variational")
    model.compile_networks()
    kinds = (ConvConditioner, NoiseConditioner)
    assert set(found) == {m for m in model.modules() if isinstance(m, kinds)}
    assert {type(m) for m in found} == {*kinds}


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Glow(SHAPE, LEVELS, num_levels=0), "model.num_levels"),
        (lambda: RealNVP(SHAPE, LEVELS, num_scales=0), "model.num_scales"),
        *(
            (functools.partial(make, dequantization="variational", **{key: 0}), f"model.{key}")
            for make in FLOWS.values()
            for key in ("noise_couplings", "noise_width")
        ),
        (lambda: RealNVP((2,), None, coupling="mixture", mixtures=0), "model.mixtures"),
    ],
)
def test_numbers_below_one_are_refused(make: Callable[[], FlowModel], name: str) -> None:
    with pytest.raises(GdlError, match=f"{name} must be 1 or more, got 0"):
        make()


@pytest.mark.parametrize("seed", range(3))
@each_flow
def test_fifty_steps_at_the_default_rate_stay_finite(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    model, x = FLOWS[name](), images()
    model.initialize(x)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    first = float(model.loss(x)["loss"].mean().detach())
    for _ in range(50):
        optimizer.zero_grad()
        loss = model.loss(x)["loss"].mean()
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
    assert float(loss.detach()) < first


@torch.no_grad()
def test_density_pictures_end_at_the_prior_and_points_stay_points() -> None:
    torch.manual_seed(0)
    model = RealNVP((2,), None, hidden=[8], num_couplings=2)
    x = torch.randn(1000, 2) * 0.5 + 1
    model.initialize(x)
    found = density(model, x, size=41, points=1000, frames=9)
    layers = found["densities"].images.flatten(0, 1)
    assert layers.shape[1:] == (1, 41, 41)
    side = torch.linspace(-4, 4, 41)
    normal = torch.exp(-0.5 * (side[:, None].square() + side.square()))
    torch.testing.assert_close(layers[4, 0], normal, rtol=0, atol=1e-4)
    # x lies around (1, 1): in the upper right of the first picture
    row, column = divmod(int(layers[0, 0].argmax()), 41)
    assert row < 20 < column
    assert found["points"].images.shape == (1, 9, 1, 41, 41)


@torch.no_grad()
def test_density_curves_on_the_line_lie_over_the_points() -> None:
    torch.manual_seed(0)
    model = RealNVP((1,), None, num_couplings=1)
    # equal components: one logistic, whose map is affine, so the density is normal at every layer
    model.bijection.steps[1].raw[:, 1:] = 0.0
    x = torch.randn(20_000, 1)
    x = 0.5 * (x - x[:512].mean()) / x[:512].std() + 1  # those that the layers start from
    model.initialize(x)
    found = density(model, x, size=100, frames=7)
    pictures = found["densities"].images.flatten(0, 1)[:, 0]
    assert pictures.shape == (4, 100, 100)
    side = torch.linspace(-4, 4, 100)
    for picture, mean, std in ((pictures[0], 1.0, 0.5), (pictures[-1], 0.0, 1.0)):
        height = 0.95 * 100 * torch.exp(-0.5 * ((side - mean) / std).square())
        high = height > 2
        top = torch.nn.functional.max_pool1d(height[None], 3, 1, 1)[0]
        assert (100 - (picture > 0.5).float().argmax(0) - top)[high].abs().max() < 2
        # the histogram below, in half-tone, is as high as the density of the points
        mode = (side - mean).abs() < 0.1
        half_tone = ((picture > 0.4) & (picture < 0.5)).sum(0)
        assert (half_tone - height)[mode].abs().max() < 8
    assert found["points"].images.shape == (1, 7, 1, 100, 100)


def test_density_of_images_is_refused() -> None:
    with pytest.raises(GdlError, match="task=density draws flows on the line"):
        density(build("nice"), images())
