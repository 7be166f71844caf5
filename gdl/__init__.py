"""Generative deep learning: models as probability distributions over integer images."""

__version__ = "0.1.0"
