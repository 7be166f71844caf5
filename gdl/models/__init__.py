"""The models: one file per paper.

A model is built from the shape and the number of levels of its data. It needs no Trainer:

>>> import torch
>>> model = MADE(shape=(1, 8, 8), levels=2).eval()
>>> x = torch.randint(0, 2, (4, 1, 8, 8), dtype=torch.uint8)
>>> model.nll(x).shape, model.nll_kind
(torch.Size([4]), 'exact')
>>> model.sample(2, seed=0).shape
torch.Size([2, 1, 8, 8])
"""

from gdl.models.autoencoder import Autoencoder
from gdl.models.denoising_autoencoder import DenoisingAutoencoder
from gdl.models.fvsbn import FVSBN
from gdl.models.gaussian import Gaussian
from gdl.models.glow import Glow
from gdl.models.made import MADE
from gdl.models.nade import NADE
from gdl.models.nice import NICE
from gdl.models.pixelcnn import PixelCNN
from gdl.models.pixelcnn_pp import PixelCNNpp
from gdl.models.realnvp import RealNVP
from gdl.models.transformer import Transformer
from gdl.models.vae import VAE

__all__ = [
    "FVSBN",
    "MADE",
    "NADE",
    "NICE",
    "VAE",
    "Autoencoder",
    "DenoisingAutoencoder",
    "Gaussian",
    "Glow",
    "PixelCNN",
    "PixelCNNpp",
    "RealNVP",
    "Transformer",
]
