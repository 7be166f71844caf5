"""How the benchmarks measure: candidates take turns, so that noise of the machine hits all alike."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Call = Callable[[], object]


@dataclass(frozen=True)
class Spread:
    """Numbers of several rounds; as text, their median and, in brackets, their quartiles."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of some numbers."""
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The number that half of the rounds exceed."""
        return statistics.median(self.values)

    def over(self, other: "Spread") -> "Spread":
        """Return the ratios of the same rounds, in which noise hit both alike."""
        return Spread.of(a / b for a, b in zip(self.values, other.values, strict=True))

    def __str__(self) -> str:
        if len(self.values) < 4:
            low, high = min(self.values), max(self.values)
        else:
            low, _, high = statistics.quantiles(self.values, n=4)
        return f"{self.median:.2f} ({low:.2f}-{high:.2f})"


def interleave(timed: dict[str, Call], rounds: int) -> dict[str, Spread]:
    """Return the milliseconds of each call by round; candidates take turns, in changing order.

    A turn is as many calls as fit into 50 ms, at least one, after one that is not timed; a round's
    number is the median of its turn.
    """
    times: dict[str, list[float]] = {name: [] for name in timed}
    turn = {}
    for name, call in timed.items():
        call()
        turn[name] = max(1, round(50 / milliseconds(call)))
    for i in range(rounds):
        order = list(timed)[i % len(timed) :] + list(timed)[: i % len(timed)]
        for name in order:
            timed[name]()
            turns = [milliseconds(timed[name]) for _ in range(turn[name])]
            times[name].append(statistics.median(turns))
    return {name: Spread.of(t) for name, t in times.items()}


def milliseconds(call: Call) -> float:
    """Return the milliseconds of one call."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)
