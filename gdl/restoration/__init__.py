"""Restores images by models of any family, and by the trivial methods that they must beat."""

from gdl.restoration.baselines import Baseline, baselines
from gdl.restoration.protocol import benchmark
from gdl.restoration.restorer import Restorer

__all__ = ["Baseline", "Restorer", "baselines", "benchmark"]
