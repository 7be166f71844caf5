"""Generative deep learning: models as probability distributions over integer images."""

__version__ = "0.2.0.dev0"
