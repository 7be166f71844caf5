"""What is taken away from an image before a model restores it."""

from gdl.corruptions.base import Corruption, Seen, compose
from gdl.corruptions.masks import known_pixels
from gdl.corruptions.noise import GaussianNoise

__all__ = ["Corruption", "GaussianNoise", "Seen", "compose", "known_pixels"]
