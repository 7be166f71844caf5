"""What a denoising autoencoder promises, for every corruption and network."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
from test_corruptions import CORRUPTIONS, images
from torch import Tensor

from gdl.capabilities import HasLatents, Incapable, Restores, Samples
from gdl.corruptions import (
    Corruption,
    Downsample,
    GaussianNoise,
    Grayscale,
    MissingPatch,
    Seen,
    compose,
    consistent,
    first_guess,
)
from gdl.errors import GdlError
from gdl.models import DenoisingAutoencoder
from gdl.nn import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder, UNet
from gdl.noise import SampleNoise
from gdl.serialization import build_model
from gdl.training.grids import restorations

SIZE, LEVELS = (12, 8), 256
NETWORKS: dict[str, dict[str, Any]] = {
    "unet": {"network": partial(UNet, channels=8, smallest=3)},
    "mlp": {
        "encoder": partial(MLPEncoder, hidden=[16]),
        "decoder": partial(MLPDecoder, hidden=[16]),
        "latent_dim": 5,
    },
    "conv": {
        "encoder": partial(ConvEncoder, channels=8),
        "decoder": partial(ConvDecoder, channels=8),
        "latent_dim": 5,
    },
}


def build(corruption: Corruption | None, network: str = "unet") -> DenoisingAutoencoder:
    """Return a small model whose layers are not zero."""
    torch.manual_seed(0)
    model = DenoisingAutoencoder((3, *SIZE), LEVELS, corruption, **NETWORKS[network])
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model.eval()


def pixels(n: int = 4) -> Tensor:
    return (images(n=n, size=SIZE) * (LEVELS - 1)).round().to(torch.uint8)


def seen(model: DenoisingAutoencoder, x: Tensor, indices: Any = None) -> Seen:
    clean = x.to(model.dtype) / (LEVELS - 1)
    return model.corruption(clean, SampleNoise(3, indices or range(len(x)), dtype=model.dtype))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_restored_images_hold_what_is_known(name: str, network: str) -> None:
    model, x = build(CORRUPTIONS[name], network), pixels()
    left = seen(model, x)
    y = model.restore(left)
    assert y.shape == x.shape
    assert ((y >= 0) & (y <= 1)).all()
    assert torch.equal(y[left.known_pixels], (x / (LEVELS - 1))[left.known_pixels])
    # an image does not know the rest of its batch
    torch.testing.assert_close(
        model.restore(seen(model, x[1:2], [1])), y[1:2], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", [n for n, c in CORRUPTIONS.items() if c.linear])
def test_a_guess_comes_nearer_by_what_is_known(name: str) -> None:
    corruption: Any = CORRUPTIONS[name]
    x = images().double()
    left = corruption(x, SampleNoise(0, range(len(x)), dtype=torch.float64))
    guess = torch.rand_like(x)
    better = consistent(guess, left, corruption)
    before, after = ((t - x).square().flatten(1).sum(1) for t in (guess, better))
    assert (after < before).all() or (left.sigma > 0 and torch.equal(guess, better))
    if not left.sigma:
        assert torch.allclose(corruption.A(better)[left.known], left.y[left.known])
    assert torch.allclose(consistent(x, left, corruption), x)


def test_first_guesses_are_the_customary_ones() -> None:
    x = images(n=2)
    at = lambda c: first_guess(c(x, SampleNoise(0, [0, 1])))  # noqa: E731
    grey = at(Grayscale())
    assert torch.equal(grey[:, 0], grey[:, 2])
    small = Downsample()(x, SampleNoise(0, [0, 1])).y
    bicubic = torch.nn.functional.interpolate(small, scale_factor=2.0, mode="bicubic")
    assert torch.allclose(at(Downsample()), bicubic)
    patch = MissingPatch()
    hole = patch(x, SampleNoise(0, [0, 1])).hole_pixels
    mean = (x * ~hole).flatten(2).sum(2) / (~hole).flatten(2).sum(2)
    filled = at(patch)
    assert torch.allclose(filled, torch.where(hole, mean[..., None, None], x))


@pytest.mark.parametrize("network", NETWORKS)
def test_terms_are_errors_of_the_restored_image(network: str) -> None:
    model, x = build(compose([MissingPatch(), GaussianNoise(0.2)]), network), pixels()
    torch.manual_seed(1)
    terms = model.loss(x)
    assert set(terms) == {"loss", "mse", "psnr"}
    assert all(t.shape == (4,) for t in terms.values())
    torch.testing.assert_close(terms["psnr"], -10 * terms["mse"].log10())
    assert (-terms["psnr"] <= terms["loss"] + 1e-5).all(), "clipping never hurts"
    model.objective = "squared"
    torch.manual_seed(1)
    squared = model.loss(x)["loss"] / (3 * 12 * 8)
    torch.testing.assert_close(10 * (squared + 1e-6).log10(), terms["loss"])
    assert model.nll_kind is None
    assert isinstance(model, Restores)
    assert not isinstance(model, Samples)


def test_an_image_that_is_whole_has_a_finite_psnr() -> None:
    model = build(MissingPatch(3))
    model.corruption = GaussianNoise(0.0)
    torch.nn.init.zeros_(model.network.head[-1].weight)  # pyright: ignore
    torch.nn.init.zeros_(model.network.head[-1].bias)  # pyright: ignore
    model._masks = False
    model.network.stem = torch.nn.Conv2d(12, 8, 3, padding=1)  # pyright: ignore
    assert model.loss(pixels())["psnr"].isfinite().all()


def test_only_a_network_with_a_code_has_latents() -> None:
    x = pixels()
    for network in ("mlp", "conv"):
        model = build(MissingPatch(), network)
        assert isinstance(model, HasLatents)
        z = model.encode(x)
        assert z.shape == (4, 5)
        y = model.decode(z)
        assert y.shape == x.shape
        assert ((y >= 0) & (y <= LEVELS - 1)).all()
    model = build(MissingPatch())
    assert not isinstance(model, HasLatents)
    for call in (lambda: model.encode(x), lambda: model.decode(torch.zeros(4, 5))):
        with pytest.raises(Incapable, match="no code: train one with network=mlp"):
            call()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", ["missing_patch of 3", "downsample+gaussian_noise"])
def test_a_model_is_rebuilt_from_plain_data(name: str, network: str) -> None:
    model = build(CORRUPTIONS[name], network)
    other = build_model(model.description()).eval()
    assert other.corruption == model.corruption
    other.load_state_dict(model.state_dict())
    left = seen(model, pixels())
    assert torch.equal(other.restore(left), model.restore(left))
    assert torch.equal(copy.deepcopy(model).restore(left), model.restore(left))


def test_a_unet_restores_images_of_any_size() -> None:
    for corruption in (GaussianNoise(0.1), MissingPatch(), Grayscale()):
        model = build(corruption)
        for size in ((13, 8), (31, 17), (4, 40)):
            x = images(n=2, size=size)
            left = corruption(x, SampleNoise(0, [0, 1]))
            assert model.restore(left).shape == x.shape


def test_a_corruption_that_does_not_suit_the_images_is_told_at_once() -> None:
    with pytest.raises(GdlError, match="these have 1"):
        DenoisingAutoencoder((1, 8, 8), 17, Grayscale())
    with pytest.raises(GdlError, match="There is no corruption"):
        DenoisingAutoencoder((1, 8, 8), 17, {})
    with pytest.raises(GdlError, match="objective=mean does not exist: use psnr or squared"):
        DenoisingAutoencoder((1, 8, 8), 17, objective="mean")


def test_training_beats_the_first_guess() -> None:
    """Blobs whose centre is missing: the rest tells what they are."""
    g = torch.Generator().manual_seed(0)
    place = torch.rand(512, 3, 1, 1, generator=g)
    x = (255 * torch.exp(-((torch.linspace(0, 1, 8) - place) ** 2) / 0.05)).expand(-1, -1, 12, -1)
    x = x.round().to(torch.uint8)
    model = build(MissingPatch(4)).train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(30):
        optimizer.zero_grad()
        model.loss(x[:480][step * 32 % 480 :][:32])["loss"].mean().backward()
        optimizer.step()
    left = seen(model.eval(), x[480:])
    error = lambda y: (y - x[480:] / 255).square().mean().item()  # noqa: E731
    assert error(model.restore(left)) < 0.3 * error(first_guess(left))


@pytest.mark.parametrize("name", ["downsample", "missing_patch+gaussian_noise", "green"])
def test_grids_show_original_corrupted_and_restored(name: str) -> None:
    corruption = (
        compose([MissingPatch(), GaussianNoise(0.2)]) if "+" in name else CORRUPTIONS[name]
    )
    model, x = build(corruption), pixels(9)
    grid = restorations(model, x)
    assert grid.shape == (3, 8, 3, *SIZE)
    torch.testing.assert_close(grid[0], x[:8].float())
    left = model.corruption(x / 255, SampleNoise(0, range(9)))
    torch.testing.assert_close(grid[1], left.image[:8].clamp(0, 1) * 255)
    torch.testing.assert_close(grid[2], model.restore(left)[:8] * 255)
