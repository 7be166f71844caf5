"""Pages with a canvas: small models with random weights on drawn data, and what is on their pages."""

import base64
import io
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from gdl import models
from gdl.distributions import Bernoulli, DiscretizedLogistic, gaussian_kl
from gdl.explorer import Subject
from gdl.nn.mlp import MLPDecoder, MLPEncoder

KINDS = ("strokes", "binary", "colour")

MLP = {
    "encoder": partial(MLPEncoder, hidden=(16,)),
    "decoder": partial(MLPDecoder, hidden=(16,)),
}


def bars(n=40, size=28, levels=256):
    """Return images (n, 1, size, size) of bars that are fitted as MNIST's digits are."""
    rng, x = np.random.default_rng(0), np.zeros((n, 1, size, size))
    for i in range(n):
        half = rng.integers(1, 6)
        x[i, 0, 4:24, 14 - half : 14 + half] = rng.uniform(0.6, 1)
    return torch.from_numpy(np.round(x * (levels - 1))).to(torch.uint8)


def noise(n=40, shape=(3, 12, 16)):
    return torch.randint(0, 256, (n, *shape), generator=torch.Generator().manual_seed(0)).byte()


def model_of(kind):
    torch.manual_seed(0)
    if kind == "strokes":
        likelihood = {"likelihood": DiscretizedLogistic}
        model = models.VAE((1, 28, 28), 256, latent_dim=6, **likelihood, **MLP)
    elif kind == "binary":
        likelihood = {"likelihood": Bernoulli, "num_classes": 3}
        model = models.VAE((1, 28, 28), 2, latent_dim=6, **likelihood, **MLP)
    else:
        model = models.Autoencoder((3, 12, 16), 256, latent_dim=6, **MLP)
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return model.eval()


def subject(kind):
    """Return the subject of a page: strokes, binary (of classes), or colour."""
    model = model_of(kind)
    images = {"strokes": bars, "binary": partial(bars, levels=2), "colour": noise}[kind]()
    labels = torch.arange(len(images)) % 3 if model.num_classes else None
    data = SimpleNamespace(
        images=lambda split: images,
        labels=lambda split: labels,
        class_names=None,
        levels=model.levels,
    )
    run = SimpleNamespace(path=Path("a run"), metrics=lambda: {}, record_facts=lambda: {})
    return Subject(run, model, data, 40)  # pyright: ignore


def png(pixels):
    """Return the bytes of a PNG file of pixels (H, W) or (H, W, C)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


class Sheet:
    """The canvas section of an open page."""

    def __init__(self, tab):
        self.tab = tab
        self.strokes = tab.locator("#canvas .strokes")

    def settle(self):
        self.tab.evaluate("() => new Promise(done => requestAnimationFrame(() => done()))")
        self.tab.wait_for_selector("#canvas[data-settled]", state="attached")

    def at(self, x, y):
        """Return the point of the page at (x, y) in parts of the sheet."""
        self.strokes.scroll_into_view_if_needed()
        box = self.strokes.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def draw(self, *points):
        """Draw a stroke with the mouse, through points in parts of the sheet."""
        places = [self.at(*p) for p in points]
        self.tab.mouse.move(*places[0])
        self.tab.mouse.down()
        for place in places[1:]:
            self.tab.mouse.move(*place, steps=4)
        self.tab.mouse.up()
        self.settle()

    def rgba(self, name):
        """Return the pixels (H, W, 4) of a canvas: strokes, seen or again."""
        text, width = self.tab.evaluate(
            "name => { const c = document.querySelector(`#canvas .${name}`);"
            "const pixels = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "let text = ''; for (const v of pixels) text += String.fromCharCode(v);"
            "return [btoa(text), c.width] }",
            name,
        )
        pixels = np.frombuffer(base64.b64decode(text), np.uint8)
        return pixels.reshape(-1, width, 4).astype(int)

    def image(self, name, model):
        """Return an image (C, H, W) of levels, as `seen` or `again` show it."""
        channels = model.shape[0]
        return self.rgba(name)[..., :channels].transpose(2, 0, 1) * (model.levels - 1) / 255

    def numbers(self):
        """Return the numbers of the page by name."""
        lines = self.tab.locator("#canvas .numbers").inner_text().split("\n")
        lines = [line.strip() for line in lines if line.strip()]
        return dict(zip(lines[::2], lines[1::2], strict=True))

    def status(self):
        return self.tab.locator("#canvas [role=status]").inner_text()

    def press(self, name):
        self.tab.click(f"#canvas [data-do={name}]")
        self.settle()

    def choose(self, *files):
        """Choose files, paths or (name, type, bytes)."""
        given = [
            f
            if isinstance(f, str | Path)
            else dict(zip(("name", "mimeType", "buffer"), f, strict=True))
            for f in files
        ]
        self.tab.set_input_files("#canvas [data-of=file]", given)
        self.told()

    def told(self):
        """Wait until the status tells what became of a file."""
        self.tab.wait_for_function(
            "() => { const text = document.querySelector('#canvas [role=status]').textContent;"
            "return text && !text.startsWith('Reading') }"
        )
        self.settle()


def compare_with_the_model(sheet, model, y=None):
    """Compare reconstruction and numbers with PyTorch's, of the very image that the page shows."""
    x = np.round(sheet.image("seen", model))
    x = torch.from_numpy(x).to(torch.uint8)[None]
    given = (x,) if y is None else (x, torch.tensor([y]))
    with torch.inference_mode():
        z = model.encode(*given)
        own = model.decode(*((z,) if y is None else (z, given[1])))
    scale = 255 / (model.levels - 1)
    assert np.abs(sheet.image("again", model) - own[0].numpy()).max() * scale <= 2
    error = float(((x - own) / (model.levels - 1)).square().mean())
    numbers = sheet.numbers()
    assert float(numbers["squared error"].split()[0]) == pytest.approx(error, rel=1e-3, abs=2e-5)
    if not hasattr(model, "posterior"):
        assert set(numbers) == {"squared error"}
        return
    with torch.inference_mode():
        mean, log_std = model.posterior(*given)
        draws = mean + log_std.exp() * torch.randn(1000, *mean.shape)
        log_px, _ = model.log_joint(x, draws, *given[1:])
    rate, distortion, total = (
        float(numbers[k].split()[0]) for k in ("rate", "distortion", "negative ELBO")
    )
    assert rate == pytest.approx(float(gaussian_kl(mean, log_std).sum()), rel=1e-3, abs=0.006)
    # the page takes the mean of eight draws
    assert abs(distortion + float(log_px.mean())) < 5 * float(log_px.std()) / 8**0.5 + 0.01
    assert total == pytest.approx(rate + distortion, abs=0.011)
    bits = total / np.log(2) / x.numel()
    assert float(numbers["negative ELBO"].split()[2]) == pytest.approx(bits, abs=6e-4)
