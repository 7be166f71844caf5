"""The bijections of `gdl.flows`, K at a time: the same maps, faster.

A stacked layer holds the parameters of K bijections of a kind as one tensor and computes the K maps
together; `Stacked.plain` gives them back one by one, as in the papers. `forms.choose` says which
implementation runs: written by hand on a CPU, reversible where memory is short, compiled and
recorded on a GPU, else plain operations. tests/test_steps.py holds each of them, and their inverses
and gradients, against the plain form.
"""

from gdl.flows.stacked.forms import Form, choose
from gdl.flows.stacked.glow_steps import GlowSteps
from gdl.flows.stacked.plain import Stacked
from gdl.flows.stacked.vector_couplings import VectorCouplings

__all__ = ["Form", "GlowSteps", "Stacked", "VectorCouplings", "choose"]
