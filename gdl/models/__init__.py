"""The models: one file per paper."""

from gdl.models.autoencoder import Autoencoder
from gdl.models.fvsbn import FVSBN
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
    "Glow",
    "PixelCNN",
    "PixelCNNpp",
    "RealNVP",
    "Transformer",
]
