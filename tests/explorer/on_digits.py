"""Untrained models on the digits, their pages, and what a page shows."""

from functools import cache

import numpy as np
import torch

from gdl.data import Digits
from gdl.distributions import DiscretizedLogistic
from gdl.explorer import Subject
from gdl.models import VAE, Autoencoder
from gdl.nn.mlp import MLPDecoder, MLPEncoder
from gdl.runs.directory import Run

SHAPE, LEVELS = (1, 8, 8), 17


@cache
def digits():
    data = Digits(shape=SHAPE, levels=LEVELS)
    data.prepare_data()
    data.setup()
    return data


def digits_model(kind="vae", latents=6, scales=None, seed=0, **options):
    """Return a model with random weights; `scales` (M,) multiply what each latent carries."""
    torch.manual_seed(seed)
    options |= {
        "encoder": lambda shape, out: MLPEncoder(shape, out, hidden=(24,)),
        "decoder": lambda width, shape: MLPDecoder(width, shape, hidden=(24,)),
    }
    if kind == "ae":
        model = Autoencoder(SHAPE, LEVELS, latent_dim=latents, **options)
    else:
        model = VAE(SHAPE, LEVELS, latent_dim=latents, likelihood=DiscretizedLogistic, **options)
    for p in model.parameters():
        p.data += torch.randn_like(p) / (p[0].numel() ** 0.5 if p.dim() > 1 else 10)
    if scales is not None:
        last = [m for m in model.encoder.modules() if isinstance(m, torch.nn.Linear)][-1]
        last.weight.data[:latents] *= torch.tensor(scales)[:, None]
        last.bias.data.zero_()
    return model.eval()


def on_digits(model, folder, points=100, **options):
    """Return the subject of a model in a run directory without files."""
    return Subject(Run(folder), model, digits(), points, **options)


def grey(tab):
    """Return the decoded picture (H, W), 0 to 255, as the canvas shows it."""
    pixels = tab.evaluate(
        "() => { const c = document.getElementById('decoded');"
        " return [c.width, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data] }"
    )
    return np.array(pixels[1:]).reshape(-1, pixels[0], 4)[..., 0]


@torch.inference_mode()
def decoded(model, z, y=None):
    """Return what PyTorch decodes latents (M,) to, (H, W), 0 to 255."""
    code = torch.as_tensor(np.array(z), dtype=torch.float32)[None]
    label = () if y is None else (torch.tensor([y]),)
    return model.decode(code, *label)[0, 0].numpy() * 255 / (model.levels - 1)
