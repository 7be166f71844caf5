"""Foreign images of any shape and levels become those of a run; made ones are what they are called."""

from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.data import CIFAR10, MNIST, BinarizedMNIST, Digits
from gdl.errors import GdlError
from gdl.evaluation.outliers import FITS, SYNTHETIC, fitted
from gdl.evaluation.outliers.fitting import fitted_name
from gdl.evaluation.outliers.shapes import ways

GREY, COLOUR, SMALL, WIDE = (1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 20, 50)
SHAPES = [GREY, COLOUR, SMALL, WIDE]


def images(shape: tuple[int, ...], levels: int = 256, n: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(levels, (n, *shape), dtype=torch.uint8, generator=generator)


def data_of(shape: tuple[int, ...], levels: int = 256) -> Any:
    """Return data of which only shape and levels are known."""
    return SimpleNamespace(shape=shape, levels=levels, facts=lambda: {})


@pytest.mark.parametrize(("source", "target"), list(product(SHAPES, SHAPES)), ids=str)
def test_some_fits_bring_any_shape_to_any_other_and_the_sentence_names_them(source, target):
    x, data = images(source), data_of(target)
    if source == target:
        assert torch.equal(fitted("other", x, 256, data), x)
        assert torch.equal(fitted("other", x, 256, data, "resize+grey"), x), (
            "nothing is to be done"
        )
        assert fitted_name("other", data_of(source), data, "resize+grey") == "other"
        return
    with pytest.raises(Incapable, match=r"^data=other has images of .* the run's are ") as refused:
        fitted("other", x, 256, data)
    proposed = str(refused.value).partition("set ood.fit=")[2].rstrip(".").split(" or ")
    assert proposed == ["+".join(way) for way in ways(x, target)]
    assert proposed[0], "there is a way"
    for fit in proposed:
        y = fitted("other", x, 256, data, fit)
        assert y.shape == (6, *target)
        assert y.dtype == torch.uint8
        assert torch.equal(fitted("other", x, 256, data, fit.split("+")), y), "or a list of names"
        for longer in (fit, f"{fit}+{fit}"):
            assert fitted_name("other", data_of(source), data, longer) == f"other+{fit}"


def test_a_fit_that_does_not_suffice_is_told_with_one_that_does():
    with pytest.raises(
        Incapable,
        match=r"images of 3x32x32, with fit=grey of 1x32x32, and the run's are 1x28x28: set ood",
    ):
        fitted("other", images(COLOUR), 256, data_of(GREY), "grey")


@pytest.mark.parametrize("fit", ["stretch", "grey+stretch", ["pad", "stretch"], [3]])
def test_a_fit_that_does_not_exist_is_refused(fit):
    with pytest.raises(GdlError, match=r"^ood\.fit=.* is not known: choose from pad, crop, resi"):
        fitted("other", images(COLOUR), 256, data_of(GREY), fit)


@pytest.mark.parametrize(
    ("small", "large"), [((8, 8), (28, 28)), ((7, 8), (12, 9)), ((5, 5), (5, 6))]
)
def test_cropping_undoes_padding_and_the_frame_is_black(small, large):
    x = images((3, *small))
    y = FITS["pad"](x, (3, *large))
    assert y.shape[2:] == large
    assert int(y.sum()) == int(x.sum()), "all else is black"
    assert torch.equal(FITS["crop"](y, (3, *small)), x)
    assert torch.equal(FITS["crop"](x, (3, *large)), x), "a crop makes nothing larger"
    assert torch.equal(FITS["pad"](y, (3, *small)), y), "a pad makes nothing smaller"


@pytest.mark.parametrize("value", [0, 1, 127, 255])
@pytest.mark.parametrize("fit", ["resize", "grey", "crop"])
def test_an_image_of_one_value_stays_one(value, fit):
    x = torch.full((2, 3, 40, 40), value, dtype=torch.uint8)
    assert FITS[fit](x, GREY).unique().tolist() == [value]
    back = FITS["grey"](x[:, :1], COLOUR)
    assert back.shape[1] == 3
    assert back.unique().tolist() == [value]


def test_a_resized_ramp_is_a_ramp():
    ramp = torch.arange(0, 240, 4, dtype=torch.uint8).expand(1, 1, 60, 60).contiguous()
    found = FITS["resize"](ramp, (1, 30, 30))[0, 0, 15].int()
    assert set(found.diff().tolist()) <= {7, 8, 9}


# ---- levels


@pytest.mark.parametrize("bits", [1, 3, 5])
def test_levels_of_fewer_bits_are_the_highest_bits(bits):
    x = images(COLOUR)
    data = CIFAR10(bits, shape=COLOUR, levels=2**bits)
    y = fitted("other", x, 256, data)
    assert torch.equal(y, x >> (8 - bits)), "as CIFAR10 itself has them"
    assert fitted_name("other", data_of(COLOUR), data, None) == f"other+{2**bits}levels"


@pytest.mark.parametrize("kind", ["threshold", "static", "dynamic"])
def test_a_binarized_run_gets_binarized_images(kind):
    x = images(GREY)
    data = BinarizedMNIST(kind, shape=GREY, levels=2)
    y = fitted("other", x, 256, data)
    assert set(y.unique().tolist()) == {0, 1}
    assert (y[x > 250].double().mean() > 0.9) & (y[x < 5].double().mean() < 0.1)
    assert torch.equal(fitted("other", x, 256, data), y)
    assert torch.equal(y, (x > 127).to(torch.uint8)) == (kind == "threshold")


@pytest.mark.parametrize("levels", [17, 32, 200, 256])
def test_black_and_white_stay_and_order_too(levels):
    x = torch.arange(levels, dtype=torch.int).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, *SMALL)
    for data in (Digits(shape=SMALL, levels=17), MNIST(shape=SMALL, levels=256)):
        y = fitted("other", x, levels, data)[:, 0, 0, 0].int()
        assert (int(y[0]), int(y[-1])) == (0, data.levels - 1)
        assert (y.diff() >= 0).all()


# ---- made images


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("name", SYNTHETIC)
def test_made_images_have_shape_levels_and_seed(name, levels):
    x = images(COLOUR, levels)
    one, again = (SYNTHETIC[name](x, levels, torch.Generator().manual_seed(3)) for _ in range(2))
    assert one.shape == x.shape
    assert one.dtype == torch.uint8
    assert int(one.max()) < levels
    assert torch.equal(one, again)
    assert not torch.equal(one, x)
    assert torch.equal(x, images(COLOUR, levels)), "the test images stay"


def test_made_images_are_what_they_are_called():
    x = images(COLOUR)
    make = lambda name, x=x: SYNTHETIC[name](x, 256, torch.Generator().manual_seed(0))  # noqa: E731
    for name in ("inverted", "mirrored", "upside_down"):
        assert torch.equal(make(name, make(name)), x), "twice is once too often"
    sort = lambda x: sorted(map(tuple, x[0].flatten(1).T.tolist()))  # noqa: E731
    assert sort(make("shuffled")) == sort(x), "the same pixels, with their colours"
    orders = SYNTHETIC["shuffled"](
        torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).expand(2, 1, 8, 8),
        256,
        torch.Generator(),
    )
    assert not torch.equal(orders[0], orders[1])
    assert (make("darker") <= x).all()
    assert (make("brighter") >= x).all()
    assert all(len(image.flatten(1).unique(dim=1).T) == 1 for image in make("constant"))
