"""What holds for every corruption."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gdl.corruptions import (
    Corruption,
    Downsample,
    GaussianNoise,
    Grayscale,
    Linear,
    MissingPatch,
    MissingPixels,
    SaltAndPepper,
    Seen,
    Strokes,
    compose,
)
from gdl.errors import GdlError
from gdl.noise import BatchNoise, SampleNoise, seed_noise

SINGLE: dict[str, Corruption] = {
    "gaussian_noise": GaussianNoise(0.3),
    "salt_and_pepper": SaltAndPepper(0.3),
    "downsample": Downsample(),
    "downsample x4": Downsample(4),
    "subsample": Downsample(2, "subsample"),
    "missing_patch": MissingPatch(),
    "missing_patch of 3": MissingPatch(3),
    "missing_patch anywhere": MissingPatch(5, "random"),
    "missing_pixels": MissingPixels(0.6),
    "grayscale": Grayscale(),
    "green": Grayscale(1),
    "strokes": Strokes(),
}
"""Every corruption, with each of its options."""

CORRUPTIONS = SINGLE | {
    "+".join(names): compose([SINGLE[name] for name in names])
    for names in (
        ("downsample", "gaussian_noise"),
        ("subsample", "green"),
        ("green", "missing_patch of 3", "subsample"),
        ("missing_patch", "gaussian_noise"),
        ("missing_patch", "downsample"),
        ("missing_pixels", "missing_patch anywhere"),
        ("missing_pixels", "grayscale", "salt_and_pepper"),
        ("subsample", "subsample"),
        ("subsample", "downsample"),
        ("strokes", "grayscale"),
    )
}


def images(kind: str = "colours", n: int = 5, size: tuple[int, int] = (12, 8)) -> Tensor:
    """Return images in [0, 1]: smooth colours, or noise of two levels."""
    x = torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(0))
    return (x > 0.5).float() if kind == "binary" else x


def seen(name: str, x: Tensor, indices: Any = None, dtype: Any = torch.float32) -> Seen:
    """Return what is left of images of these indices."""
    return CORRUPTIONS[name](x, SampleNoise(7, indices or range(len(x)), dtype=dtype))


@pytest.mark.parametrize("kind", ["colours", "binary"])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_called_known_is_the_original(name, kind):
    x = images(kind)
    left = seen(name, x)
    assert left.image.shape == left.known_pixels.shape == left.hole_pixels.shape == x.shape
    assert left.y.shape == left.known.shape
    assert left.known.dtype == torch.bool
    known = left.known_pixels
    assert torch.equal(left.image[known], x[known])
    assert not (known & left.hole_pixels).any()
    assert left.y.isfinite().all()


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("gaussian_noise", 0),
        ("downsample", 0),
        ("grayscale", 0),
        ("strokes", 0),
        ("subsample", 1 / 4),
        ("subsample+subsample", 1 / 16),
        ("green", 1 / 3),
        ("subsample+green", 1 / 12),
        ("missing_patch", 3 / 4),
        ("missing_patch of 3", 1 - 9 / 96),
        ("missing_patch anywhere", 1 - 25 / 96),
        ("missing_pixels", 0.4),
        ("salt_and_pepper", 0.7),
    ],
)
def test_how_many_pixels_are_known(name, share):
    left = seen(name, images(n=200))
    assert left.known_pixels.float().mean().item() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("name", [n for n, c in CORRUPTIONS.items() if c.linear])
def test_the_adjoint_is_that_of_the_operator(name):
    corruption: Any = CORRUPTIONS[name]
    assert isinstance(corruption, Linear)
    x = images().double()
    y = corruption.A(x)
    other = torch.rand(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
    back = corruption.A_adjoint(other)
    assert back.shape == x.shape
    assert torch.allclose((y * other).sum(), (x * back).sum())
    # y is A x and noise, outside of holes
    left = seen(name, x, dtype=torch.float64)
    assert y.shape == left.y.shape
    outside = torch.ones_like(left.known) if left.hole is None else ~left.hole
    if not left.sigma:
        assert torch.allclose(left.y[outside], y[outside])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_an_image_loses_depends_on_its_index_only(name):
    x = images()
    whole = seen(name, x)
    part = seen(name, x[[3, 1]], [3, 1])
    for field in ("y", "known", "image", "known_pixels", "hole_pixels"):
        assert torch.equal(getattr(whole, field)[[3, 1]], getattr(part, field)), field
    assert torch.equal(whole.y, seen(name, x).y)


DRAWN = ("noise", "salt", "pixels", "anywhere")


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_other_seeds_and_images_lose_others(name):
    x = images()[:1].expand(5, -1, -1, -1)
    left = seen(name, x)
    random = any(word in name for word in DRAWN)
    assert torch.equal(left.y[0], left.y[1]) != random
    assert torch.equal(left.y, CORRUPTIONS[name](x, SampleNoise(8, range(5))).y) != random


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_training_noise_depends_on_the_seed_of_the_step(name):
    x = images()
    once, again = (
        (seed_noise(x.device, "train", 0), CORRUPTIONS[name](x, BatchNoise(x)).y)[1]
        for _ in range(2)
    )
    assert torch.equal(once, again)


@pytest.mark.parametrize("name", [n for n in CORRUPTIONS if "+" in n])
def test_several_are_one_after_the_other(name):
    x = images()
    noise = SampleNoise(7, range(5))
    left = Seen(x.shape[1:], x, torch.ones_like(x, dtype=torch.bool))
    for part in name.split("+"):
        left = SINGLE[part].corrupt(left, noise)
    both = seen(name, x)
    assert torch.equal(both.y, left.y)
    assert torch.equal(both.known_pixels, left.known_pixels)
    assert both.names == tuple(SINGLE[part].name for part in name.split("+"))
    assert CORRUPTIONS[name].name == "+".join(both.names)


def test_levels_of_noise_add_up_in_squares():
    left = compose([GaussianNoise(0.3), GaussianNoise(0.4)])(images(), SampleNoise(0, range(5)))
    assert left.sigma == pytest.approx(0.5)
    assert seen("missing_patch", images()).sigma == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_pixels_keep_their_type(name, dtype):
    x = images().to(dtype)
    assert seen(name, x).y.dtype == dtype
    y = seen(name, images()).y
    if (
        "strokes" not in name and dtype == torch.float64
    ):  # in another type another colour may be nearest
        assert torch.allclose(seen(name, images().double()).y.float(), y, atol=1e-5)


def test_strokes_are_few_flat_colours():
    x = images(size=(32, 32), n=3)
    for colours in (2, 6):
        y = Strokes(colours)(x, SampleNoise(0, range(3))).y
        assert all(len(image.flatten(1).unique(dim=1).T) <= colours for image in y)
    flat = torch.full((1, 3, 8, 8), 0.3)
    assert torch.allclose(Strokes()(flat, SampleNoise(0, [0])).y, flat)
    edge = (torch.arange(8) < 4).float().expand(1, 3, 8, 8)
    assert torch.allclose(Strokes()(edge, SampleNoise(0, [0])).y, edge), "edges are kept"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: GaussianNoise(-1), "gaussian_noise.sigma=-1 .*at least 0"),
        (lambda: GaussianNoise("a"), "gaussian_noise.sigma=a"),  # pyright: ignore[reportArgumentType]
        (lambda: GaussianNoise(float("nan")), "gaussian_noise.sigma=nan"),
        (lambda: SaltAndPepper(1.5), "salt_and_pepper.fraction=1.5 .*from 0 to 1"),
        (lambda: MissingPixels(True), "missing_pixels.fraction=True"),
        (lambda: Downsample(1), "downsample.factor=1 .*at least 2"),
        (lambda: Downsample(2, "mean"), "downsample.method=mean .*area or subsample"),
        (lambda: MissingPatch(0), "missing_patch.size=0"),
        (lambda: MissingPatch(3, "left"), "missing_patch.place=left .*centre or random"),
        (lambda: Grayscale(3), "grayscale.channel=3 .*0, 1 or 2"),
        (lambda: Strokes(0), "strokes.colours=0"),
        (lambda: compose([]), "There is no corruption"),
        (lambda: compose({}), "There is no corruption"),
        (lambda: Downsample(5)(images(), SampleNoise(0, [])), "does not divide .*12x8"),
        (lambda: MissingPatch(8)(images(), SampleNoise(0, [])), "size=8 leaves nothing .*12x8"),
        (lambda: Grayscale()(images()[:, :1], SampleNoise(0, [])), "these have 1: use data"),
        (lambda: MissingPatch(3, "random").A(images()), "place=random has no A"),
    ],
)
def test_what_does_not_fit_is_told(make, told):
    with pytest.raises(GdlError, match=told):
        make()
