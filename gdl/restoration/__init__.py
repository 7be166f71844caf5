"""Restores images by models of any family, and by the trivial methods that they must beat."""

from gdl.restoration.restorer import Restorer

__all__ = ["Restorer"]
