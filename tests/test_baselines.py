"""The trivial restorers: each against a naive reference or a theorem, on every corruption."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from gdl.corruptions import (
    Corruption,
    Downsample,
    GaussianNoise,
    Grayscale,
    MissingPatch,
    MissingPixels,
    SaltAndPepper,
    Strokes,
    compose,
)
from gdl.noise import SampleNoise
from gdl.restoration import filters
from gdl.restoration.baselines import baselines
from gdl.restoration.fills import harmonic_fill
from gdl.restoration.gaussian_posterior import GaussianImages
from gdl.restoration.observation import Operator, holes_of
from gdl.restoration.quality import psnr

FILLS = {"identity", "mean_fill", "harmonic_fill", "pca"}
FILTERS = {"gaussian", "median", "total_variation", "pca"}
LARGER = {"nearest", "bilinear", "bicubic", "pca"}
GREY = {"grey_copy", "mean_colour", "pca"}

CORRUPTIONS: dict[str, tuple[Corruption, set[str]]] = {
    "noise": (GaussianNoise(0.2), {"identity", "clipping"} | FILTERS),
    "salt": (SaltAndPepper(0.2), {"identity", "harmonic_fill"} | FILTERS),
    "strokes": (Strokes(), {"identity"} | FILTERS),
    "area": (Downsample(2), LARGER),
    "subsample": (Downsample(2, "subsample"), LARGER),
    "patch": (MissingPatch(3), FILLS),
    "random patch": (MissingPatch(3, "random"), FILLS),
    "pixels": (MissingPixels(0.4), FILLS),
    "grey": (Grayscale(), GREY),
    "channel": (Grayscale(1), GREY),
    "small and noisy": (
        compose([Downsample(2), GaussianNoise(0.2)]),
        {"clipping"} | FILTERS | LARGER,
    ),
    "small and grey": (compose([Downsample(2, "subsample"), Grayscale()]), LARGER | GREY),
    "pixels and noise": (
        compose([MissingPixels(0.4), GaussianNoise(0.2)]),
        {"clipping"} | FILLS | FILTERS,
    ),
}
SHAPE = (3, 8, 8)


def images(n: int, seed: int = 0) -> Tensor:
    """Return smooth images (n, 3, 8, 8) in [0, 1] whose channels go together."""
    noise = torch.rand(n, 1, 12, 12, generator=torch.Generator().manual_seed(seed))
    tints = torch.rand(n, 3, 1, 1, generator=torch.Generator().manual_seed(seed + 1))
    return (F.avg_pool2d(noise, 5, 1) * (0.6 + 0.8 * tints)).clamp(0, 1)


def of(corruption: Corruption, x: Tensor, first: int = 0):
    noise = SampleNoise(5, range(first, first + len(x)), dtype=x.dtype)
    return corruption(x, noise)


@pytest.fixture(scope="module")
def found():
    return {
        name: baselines(corruption, images(400), images(60, 7))
        for name, (corruption, _) in CORRUPTIONS.items()
    }


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_methods_are_those_for_what_was_lost(name: str, found) -> None:
    corruption, expected = CORRUPTIONS[name]
    assert set(found[name]) == expected
    x = images(9, 3)
    seen = of(corruption, x)
    for method, restore in found[name].items():
        y = restore(seen, draws=3)
        assert y.shape == (1, *x.shape), method
        assert y.isfinite().all()
        if method != "identity":
            assert y.min() >= 0
            assert y.max() <= 1, method


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_does_not_depend_on_the_others(name: str, found) -> None:
    corruption, _ = CORRUPTIONS[name]
    x = images(9, 3)
    whole, part = of(corruption, x), of(corruption, x[4:6], 4)
    for method, restore in found[name].items():
        together, alone = restore(whole)[0, 4:6], restore(part)[0]
        torch.testing.assert_close(together, alone, atol=2e-5, rtol=0, msg=method)


@pytest.mark.parametrize(
    "name", [k for k, (c, _) in CORRUPTIONS.items() if of(c, images(1)).hole is not None]
)
def test_what_is_in_a_hole_is_not_looked_at(name: str, found) -> None:
    corruption, _ = CORRUPTIONS[name]
    seen = of(corruption, images(6, 3))
    other = replace(seen, y=torch.where(holes_of(seen), torch.rand(seen.y.shape), seen.y))
    for method, restore in found[name].items():
        same = torch.equal(restore(seen), restore(other))
        # these show what is in the hole
        assert same == (method not in ("identity", "clipping")), method


def test_settings_are_those_with_the_best_validation_images() -> None:
    train, val = images(400), images(60, 7)
    for sigma, other in ((0.5, 0.05),):
        chosen = baselines(GaussianNoise(sigma), train, val)
        seen = of(GaussianNoise(sigma), images(300, 9))
        for method in ("gaussian", "total_variation"):
            mine, theirs = (
                float(psnr(b[method].restore(seen), images(300, 9)).mean())
                for b in (chosen, baselines(GaussianNoise(other), train, val))
            )
            assert mine > theirs, method


# ---- filters


@pytest.mark.parametrize("width", [0.4, 1.0, 2.5])
def test_the_gaussian_filter_is_scipy_s(width: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    x = torch.rand(2, 3, 7, 12, dtype=torch.float64)
    expected = ndimage.gaussian_filter(x.numpy(), (0, 0, width, width), mode="nearest")
    torch.testing.assert_close(filters.gaussian_filter(x, width), torch.from_numpy(expected))


@pytest.mark.parametrize("size", [3, 5])
def test_the_median_filter_is_scipy_s(size: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    x = torch.rand(2, 3, 7, 9)
    expected = ndimage.median_filter(x.numpy(), (1, 1, size, size), mode="nearest")
    assert torch.equal(filters.median_filter(x, size), torch.from_numpy(expected))


def objective(x: Tensor, y: Tensor, weight: float) -> float:
    down, right = F.pad(x.diff(dim=-2), (0, 0, 0, 1)), F.pad(x.diff(dim=-1), (0, 1))
    length = (down.square() + right.square()).sqrt().sum()
    return float((x - y).square().sum() / 2 + weight * length)


@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_total_variation_finds_the_minimum_of_its_objective(weight: float) -> None:
    y = images(4).double() + 0.2 * torch.randn(4, 3, 8, 8, dtype=torch.float64)
    values = [
        objective(filters.total_variation(y, weight, steps), y, weight) for steps in (1, 40, 1000)
    ]
    assert values[0] < objective(y, y, weight)
    assert values[2] < values[1] < values[0]
    least = filters.total_variation(y, weight, 1000)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):  # it is convex, so a local minimum is the global one
        step = 1e-3 * torch.randn(y.shape, generator=generator, dtype=y.dtype)
        assert objective(least + step, y, weight) > values[2]


@pytest.mark.parametrize("kind", filters.KERNELS)
@pytest.mark.parametrize("first", [0.0, 0.5, 1.5])
def test_interpolation_keeps_constants_and_lines(kind: str, first: float) -> None:
    factor = 4 if first == 1.5 else 2
    size = (12 * factor, 10 * factor)
    enlarge = lambda y: filters.enlarged(y, size, kind, (first, first))  # noqa: E731
    flat = torch.full((1, 1, 12, 10), 0.3, dtype=torch.float64)
    torch.testing.assert_close(enlarge(flat), torch.full((1, 1, *size), 0.3).double())
    if kind != "nearest":
        at = torch.arange(size[0]).double()
        line = enlarge(
            (first + factor * torch.arange(12).double()).view(1, 1, 12, 1).expand(1, 1, 12, 10)
        )
        inner = slice(4 * factor, -4 * factor)
        torch.testing.assert_close(line[0, 0, inner, 0], at[inner])


def test_interpolation_is_that_of_others() -> None:
    y = torch.rand(1, 1, 9, 7)
    mine = filters.enlarged(y, (18, 14), "bilinear", (0.5, 0.5))
    torch.testing.assert_close(mine, F.interpolate(y, scale_factor=2, mode="bilinear"))
    mine = filters.enlarged(y, (18, 14), "nearest", (0.5, 0.5))
    assert torch.equal(mine, F.interpolate(y, scale_factor=2, mode="nearest"))
    picture = Image.fromarray(y[0, 0].numpy()).resize((14, 18), Image.Resampling.BICUBIC)
    theirs = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.float32).view(18, 14)
    mine = filters.enlarged(y, (18, 14), "bicubic", (0.5, 0.5))[0, 0]
    # at the border Pillow leaves out what is outside
    torch.testing.assert_close(mine[4:-4, 4:-4], theirs[4:-4, 4:-4], atol=1e-5, rtol=0)


# ---- fills


def test_the_harmonic_fill_is_exact_on_ramps() -> None:
    row, column = torch.arange(9.0)[:, None], torch.arange(11.0)
    x = torch.stack([0.1 + 0.02 * row + 0.05 * column, 0.9 - 0.04 * row + 0 * column])[None]
    known = torch.ones(1, 2, 9, 11, dtype=torch.bool)
    known[:, 0, 2:8, 3:10] = False
    known[:, 1, 4, 1:5] = False
    filled = harmonic_fill(torch.where(known, x, 0.5), known, tolerance=1e-7)
    torch.testing.assert_close(filled, x, atol=1e-5, rtol=0)


def test_the_harmonic_fill_solves_laplace_s_equation() -> None:
    x = images(5).double()
    known = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.3
    known[0, 0] = False  # nothing to go by
    filled = harmonic_fill(x, known, tolerance=1e-12)
    assert torch.equal(filled[known], x[known])
    assert bool((filled[0, 0] == 0.5).all())
    places = [(0, 1), (2, 1), (1, 0), (1, 2)]
    of_all = lambda t: sum(F.pad(t, (1, 1, 1, 1))[..., a : a + 8, b : b + 8] for a, b in places)  # noqa: E731
    sums, count = of_all(filled), of_all(torch.ones_like(x))
    torch.testing.assert_close(filled[~known], (sums / count)[~known], atol=1e-9, rtol=0)


# ---- the Gaussian posterior

LINEAR = [name for name in CORRUPTIONS if name not in ("salt", "strokes")]


@pytest.mark.parametrize("count", [5, 1000])
@pytest.mark.parametrize("name", LINEAR)
def test_pca_gives_the_conditional_mean_of_a_gaussian(name: str, count: int) -> None:
    corruption, x = CORRUPTIONS[name][0], images(6, 3).double()
    prior = GaussianImages.fit(images(400).double())
    seen, operator = of(corruption, x), Operator(corruption)
    mine = prior.posterior_mean(seen, operator, count).flatten(1)
    dims = x[0].numel()
    kept = prior.variances[:count]
    rest = max(1e-6, float(prior.total - kept.sum()) / max(1, dims - len(kept)))
    v = prior.components[:count].flatten(1).T
    covariance = v @ torch.diag((kept - rest).clamp(min=0)) @ v.T + rest * torch.eye(dims).double()
    matrix = operator.A(torch.eye(dims).double().view(-1, *SHAPE)).flatten(1).T
    for i in range(len(x)):  # the textbook: mean + S A^T (A S A^T + sigma^2 I)^-1 (y - A mean)
        a = matrix[~holes_of(seen)[i].flatten()]
        y = seen.y[i].flatten()[~holes_of(seen)[i].flatten()]
        inner = a @ covariance @ a.T + seen.sigma**2 * torch.eye(len(a)).double()
        gain = torch.linalg.solve(inner, y - a @ prior.mean.flatten())
        expected = prior.mean.flatten() + covariance @ a.T @ gain
        torch.testing.assert_close(mine[i], expected, atol=1e-5, rtol=0)


def test_a_gaussian_of_large_images_is_that_of_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    x = images(150).double()
    small = GaussianImages.fit(x)
    monkeypatch.setattr("gdl.restoration.gaussian_posterior.MOST", 160)
    large = GaussianImages.fit(x)
    torch.testing.assert_close(large.variances[:20], small.variances[:20])
    similar = (large.components[:20] * small.components[:20]).flatten(1).sum(1).abs()
    torch.testing.assert_close(similar, torch.ones(20).double())


@pytest.mark.parametrize("name", LINEAR)
def test_rows_of_operators_are_orthogonal(name: str) -> None:
    corruption = CORRUPTIONS[name][0]
    operator, y = Operator(corruption), of(corruption, images(1).double()).y
    units = torch.eye(y.numel()).double().view(-1, *y.shape[1:])
    product = operator.A(operator.A_adjoint(units)).flatten(1)
    torch.testing.assert_close(product, torch.diag(operator.diagonal(y).flatten()))


@pytest.mark.parametrize(
    "name", ["patch", "random patch", "pixels", "pixels and noise", "patch of a small one"]
)
def test_the_mean_fill_is_the_mean_of_training_images(name: str, found) -> None:
    corruption = compose([Downsample(2), MissingPatch(2)])
    fills = found[name] if name in found else baselines(corruption, images(400), images(60, 7))
    corruption = CORRUPTIONS[name][0] if name in CORRUPTIONS else corruption
    seen = of(corruption, images(5, 3))
    mean = images(400).mean(0, keepdim=True).expand(5, -1, -1, -1)
    if seen.y.shape[2:] != mean.shape[2:]:
        mean = filters.enlarged(
            torch.where(holes_of(seen), F.avg_pool2d(mean, 2), seen.y),
            SHAPE[1:],
            "bicubic",
            (0.5, 0.5),
        )
        torch.testing.assert_close(
            fills["mean_fill"](seen)[0], mean.clamp(0, 1), atol=1e-4, rtol=0
        )
        return
    holes = holes_of(seen)
    torch.testing.assert_close(fills["mean_fill"](seen)[0][holes], mean[holes], atol=1e-4, rtol=0)
