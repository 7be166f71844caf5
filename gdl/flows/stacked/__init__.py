"""The bijections of `gdl.flows`, K at a time: the same maps, faster."""

from gdl.flows.stacked.glow_steps import GlowSteps
from gdl.flows.stacked.vector_couplings import VectorCouplings

__all__ = ["GlowSteps", "VectorCouplings"]
