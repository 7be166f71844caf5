"""How the benchmarks measure: candidates take turns, so that noise of the machine hits all alike."""

import statistics
import time
from collections.abc import Callable

Call = Callable[[], object]


def interleave(timed: dict[str, Call], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each call; the candidates take turns, in changing order.

    A turn is as many calls as fit into 50 ms, at least one, after one that is not timed.
    """
    times: dict[str, list[float]] = {name: [] for name in timed}
    turn = {}
    for name, call in timed.items():
        call()
        start = time.perf_counter()
        call()
        turn[name] = max(1, round(0.05 / (time.perf_counter() - start)))
    for i in range(rounds):
        order = list(timed)[i % len(timed) :] + list(timed)[: i % len(timed)]
        for name in order:
            timed[name]()
            for _ in range(turn[name]):
                start = time.perf_counter()
                timed[name]()
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(t) for name, t in times.items()}
