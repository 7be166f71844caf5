"""Subjects of untrained models on the digits, without a run of gdl train."""

import json

import torch

from gdl.data import Digits
from gdl.explorer import Subject
from gdl.models import VAE, Autoencoder
from gdl.runs.directory import Run

__all__ = ["autoencoder", "subject_of", "vae"]


def autoencoder(latents, seed=0):
    torch.manual_seed(seed)
    return Autoencoder(shape=(1, 8, 8), levels=17, latent_dim=latents).eval()


def vae(latents, seed=0, **options):
    torch.manual_seed(seed)
    return VAE(shape=(1, 8, 8), levels=17, latent_dim=latents, **options).eval()


def subject_of(model, folder, metrics=None, record=None, name="run", points=60):
    """Return a subject on the digits whose run has the files that are given."""
    run = Run(folder / name)
    run.path.mkdir(exist_ok=True)
    for path, content in ((run.metrics_json, metrics), (run.record, record)):
        if content is not None:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    data = Digits(shape=(1, 8, 8), levels=17)
    data.prepare_data()
    data.setup()
    return Subject(run, model, data, points)
