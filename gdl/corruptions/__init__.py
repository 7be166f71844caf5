"""What is taken away from an image before a model restores it."""

from gdl.corruptions.base import Composed, Corruption, Linear, LinearComposed, Seen, compose
from gdl.corruptions.colour import Grayscale
from gdl.corruptions.consistency import consistent, first_guess
from gdl.corruptions.masks import known_pixels
from gdl.corruptions.missing import MissingPatch, MissingPixels
from gdl.corruptions.noise import GaussianNoise, SaltAndPepper
from gdl.corruptions.resolution import Downsample
from gdl.corruptions.strokes import Strokes

__all__ = [
    "Composed",
    "Corruption",
    "Downsample",
    "GaussianNoise",
    "Grayscale",
    "Linear",
    "LinearComposed",
    "MissingPatch",
    "MissingPixels",
    "SaltAndPepper",
    "Seen",
    "Strokes",
    "compose",
    "consistent",
    "first_guess",
    "known_pixels",
]
