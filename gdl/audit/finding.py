"""What a check has found: a figure beside its tolerance, a verdict, and the likely reason."""

import math
from dataclasses import dataclass, replace

__all__ = ["FAILED", "NOT_APPLICABLE", "PASSED", "WARNING", "Finding", "at_most", "skipped"]

PASSED, FAILED, WARNING, NOT_APPLICABLE = "passed", "FAILED", "warning", "not applicable"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    `figure` is compared with `tolerance`, and `verdict` is one of the four constants of this module.
    `reason` says what is likely wrong and how to mend it, or why the check does not apply.
    """

    check: str
    what: str
    figure: float | None = None
    tolerance: float | None = None
    verdict: str = PASSED
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong; a check that does not apply has not passed."""
        return self.verdict == PASSED

    def of(self, where: str) -> "Finding":
        """Return this finding with the place it was made at, e.g. the size of the images."""
        return replace(self, what=f"{self.what}, {where}")


def at_most(
    check: str, what: str, figure: float, tolerance: float, reason: str, bad: str = FAILED
) -> Finding:
    """Return a finding that has passed where the figure is at most the tolerance; NaN has not.

    >>> at_most("sum", "the sum", 0.2, 0.1, "a term is missing").verdict
    'FAILED'
    """
    if math.isfinite(figure) and figure <= tolerance:
        return Finding(check, what, figure, tolerance)
    return Finding(check, what, figure, tolerance, bad, reason)


def skipped(check: str, what: str, why: str) -> Finding:
    """Return the finding of a check that does not apply."""
    return Finding(check, what, verdict=NOT_APPLICABLE, reason=why)
