"""Completion of images: masks, pictures, and conditional numbers against enumeration."""

from functools import partialmethod
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from gdl.corruptions import known_pixels
from gdl.errors import GdlError
from gdl.evaluation import bits, conditional
from gdl.models import NICE, VAE, Autoencoder
from gdl.models.fvsbn import FVSBN
from gdl.restoration.flow import ByHamiltonian
from gdl.runs.report import print_results
from gdl.tasks import complete

SHAPE = (1, 2, 3)


@pytest.fixture
def model() -> FVSBN:
    torch.manual_seed(0)
    model = FVSBN(SHAPE, 2).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p))
    return model


@pytest.fixture
def x() -> torch.Tensor:
    return torch.cartesian_prod(*[torch.arange(2, dtype=torch.uint8)] * 6).view(-1, *SHAPE)


def test_masks_say_what_is_known() -> None:
    shape = (3, 4, 6)
    top = known_pixels("top", shape)
    assert top.shape == shape
    assert top[:, :2].all()
    assert not top[:, 2:].any()
    assert torch.equal(known_pixels("bottom", shape), ~top)
    left = known_pixels("left", shape)
    assert left[:, :, :3].all()
    assert torch.equal(known_pixels("right", shape), ~left)
    assert int(known_pixels("random", (1, 4, 6)).sum()) == 12
    some = known_pixels("random-0.25", shape)
    assert int(some.sum()) == 3 * 6
    assert torch.equal(some, known_pixels("random-0.25", shape))
    assert torch.equal(some[0], some[2])


def test_a_mask_can_be_a_file(tmp_path) -> None:
    file = tmp_path / "mask.png"
    picture = torch.zeros(4, 6, dtype=torch.uint8)
    picture[1:3, 2:] = 255
    Image.fromarray(picture.numpy()).save(file)
    assert torch.equal(known_pixels(str(file), (3, 4, 6)), (picture > 0).expand(3, -1, -1))
    Image.fromarray((picture * 0 + 255).numpy()).save(file)
    with pytest.raises(GdlError, match="leaves no pixel to complete"):
        known_pixels(str(file), (1, 4, 6))


def test_masks_of_other_kinds_are_read_by_their_brightness(tmp_path) -> None:
    file = tmp_path / "mask.png"
    known = torch.zeros(1, 4, 6, dtype=torch.bool)
    known[0, :2] = True
    deep = np.where(known[0], 60_000, 1_000).astype(np.uint16)  # 1,000 is dark, of 65,535
    Image.fromarray(deep).save(file)
    assert torch.equal(known_pixels(str(file), (1, 4, 6)), known)
    seen = np.zeros((4, 6, 4), dtype=np.uint8)
    seen[2:, :, 3] = 255  # black below, and above transparent, which is white
    Image.fromarray(seen).save(file)
    assert torch.equal(known_pixels(str(file), (1, 4, 6)), known)
    big = known[0].repeat_interleave(8, 0).repeat_interleave(8, 1)
    Image.fromarray((255 * big.byte()).numpy()).save(file)
    assert torch.equal(known_pixels(str(file), (1, 4, 6)), known)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n cut off"])
def test_a_mask_that_is_no_image_is_refused(tmp_path, content: bytes) -> None:
    file = tmp_path / "mask.png"
    file.write_bytes(content)
    with pytest.raises(GdlError, match=r"mask\.png cannot be read as an image"):
        known_pixels(str(file), SHAPE)


def test_an_unknown_mask_is_refused() -> None:
    with pytest.raises(GdlError, match=r"top, bottom, left, right, random.*'middle'"):
        known_pixels("middle", SHAPE)


def test_completions_stand_between_what_is_known_and_the_image(model, x, capsys) -> None:
    picture = complete(model, x[5:9], known="top", images=3, completions=4)["completions"].images
    assert picture.shape == (3, 6, *SHAPE)
    assert (picture[:, 0, :, 1] == 0.5).all()
    assert torch.equal(picture[:, -1], x[5:8].float())
    known = picture[:, :, :, 0]
    assert torch.equal(known, known[:, -1:].expand_as(known))
    assert len(picture[:, 1:-1].flatten(0, 1).unique(dim=0)) > 3
    assert not capsys.readouterr().out
    again = complete(model, x[5:9], known="top", images=3, completions=4)["completions"].images
    assert torch.equal(picture, again)


def test_what_the_draws_are_is_told(model, x, capsys) -> None:
    complete(model, x[:2], known="bottom", images=2, completions=1)
    assert "particles, weighted by what is seen" in capsys.readouterr().out
    complete(model, x[:2], known="bottom", images=2, completions=1, temperature=0.5)
    assert "drawn without looking at them" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [VAE, NICE])
def test_densities_without_an_order_complete_too(kind, capsys, monkeypatch) -> None:
    monkeypatch.setattr(
        ByHamiltonian, "__init__", partialmethod(ByHamiltonian.__init__, burn_in=4)
    )
    torch.manual_seed(0)
    model = kind((1, 4, 4), 2, **({"hidden": [4]} if kind is NICE else {})).eval()
    x = torch.randint(0, 2, (20, 1, 4, 4), dtype=torch.uint8)
    model.initialize(x)
    rows = complete(model, x, known="bottom", images=2, completions=3)["completions"].images
    assert rows.shape == (2, 5, 1, 4, 4)
    known = rows[:, :, :, 2:]
    assert torch.equal(known, known[:, -1:].expand_as(known))
    assert torch.equal(rows, rows.round().where(rows != 0.5, rows))
    assert "Markov chain, exact in the limit" in capsys.readouterr().out
    with pytest.raises(GdlError, match=r"no task\.temperature and no task\.label"):
        complete(model, x, temperature=0.5)


def test_a_model_without_a_density_is_refused() -> None:
    x = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(GdlError, match=r"Autoencoder cannot restore images.*or of a density"):
        complete(Autoencoder((1, 4, 4), 2), x)


@torch.no_grad()
def test_conditional_numbers_are_those_of_the_enumeration(model, x, capsys) -> None:
    log_p = model.log_prob(x)
    first = x[:, 0, 0, 0] * 4 + x[:, 0, 0, 1] * 2 + x[:, 0, 0, 2]  # the known row
    log_known = torch.stack([log_p[first == k].logsumexp(0) for k in first.tolist()])
    data = SimpleNamespace(images=lambda split: x)
    found = conditional(model, data, known="top", batch_size=10)
    expected = -(log_p - log_known)
    assert found["given-top/nll"] == pytest.approx(expected.mean().item())
    of_unknown = expected.mean().item() / (3 * torch.tensor(2.0).log().item())
    assert found["given-top/bpd"] == pytest.approx(of_unknown)
    whole = bits(model, data)
    assert whole["test/nll"] == pytest.approx(-log_p.mean().item())
    assert "ordered-bottom/nll" in conditional(model, data, known="bottom")
    print_results(whole | found)
    assert "given-top" in capsys.readouterr().out
