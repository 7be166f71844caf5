"""How values are drawn from the conditionals of an autoregressive model."""

from dataclasses import dataclass

from gdl.distributions import Likelihood, Truncated

__all__ = ["Drawing"]


@dataclass(frozen=True)
class Drawing:
    """The choices of a set of draws.

    Args:
        seed: Seed of the whole set.
        temperature: Divides the logits, or multiplies the scales, of each conditional; 0 takes the
            most likely value. With top_k or top_p it is the power 1 / temperature of probabilities.
        top_k: Draw from the k most likely values only; None for all.
        top_p: Draw from the fewest values, the most likely ones, that have this probability.
        naive: Use one whole pass per position; for tests and benchmarks.
    """

    seed: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    naive: bool = False

    def of(self, likelihood: Likelihood) -> Likelihood | Truncated:
        """Return what draws values: the likelihood, or its most likely levels.

        Raises:
            GdlError: top_k or top_p is out of range.
        """
        if self.top_k is None and self.top_p == 1:
            return likelihood
        return Truncated(likelihood, self.top_k, self.top_p, self.temperature)
