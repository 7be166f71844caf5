"""The theorems of generative models as functions, for any model: `gdl check`, and the tests.

A check returns a `Finding`: what was checked, a figure beside its tolerance, a verdict, and the likely
reason. `check(model, x)` runs all of them. docs/check.md has the list.
"""

from gdl.audit.all_checks import check
from gdl.audit.finding import FAILED, NOT_APPLICABLE, PASSED, WARNING, Finding

__all__ = ["FAILED", "NOT_APPLICABLE", "PASSED", "WARNING", "Finding", "check"]
