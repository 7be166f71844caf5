"""What is taken away from an image before a model restores it."""

from gdl.corruptions.masks import known_pixels

__all__ = ["known_pixels"]
