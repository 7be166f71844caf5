"""The training pairs whose sources are most similar, a baseline of translation."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gdl.families.progress import Counter

__all__ = ["nearest_sources"]

SHORTEST, LONGEST = 2, 4
"""Characters of the n-grams that sources are compared by."""

CELLS = 5_000_000
"""Similarities in memory at a time."""


def nearest_sources(sources: Sequence[str], among: Sequence[str]) -> list[int]:
    """Return the index of the most similar text of `among` for each source.

    The similarity is the cosine of the counts of n-grams of 2 to 4 characters, where a tab marks the
    beginning and the end of a text. Of equally similar texts the first one counts.

    Args:
        sources: Texts.
        among: Texts to choose from, at least one.
    """
    from sklearn.feature_extraction.text import CountVectorizer  # takes a second to import

    make: Any = CountVectorizer  # its annotations, where it has some, leave out these arguments
    counts = make(analyzer=_ngrams, dtype=np.float64)
    there = counts.fit_transform([*among]).tocsr()
    squares = np.asarray(there.multiply(there).sum(1)).ravel()
    transposed, here = there.T.tocsr(), counts.transform([*sources]).tocsr()
    found: list[int] = []
    step = max(1, CELLS // len(among))
    with Counter(len(sources), "looking for the nearest sources") as counter:
        for start in range(0, len(sources), step):
            products = (here[start : start + step] @ transposed).toarray()
            # whole numbers before the division, so that equal similarities are equal numbers
            found += (products * products / squares).argmax(1).tolist()
            counter.show(len(found))
    return found


def _ngrams(text: str) -> list[str]:
    marked = f"\t{text}\t"
    sizes = range(SHORTEST, LONGEST + 1)
    return [marked[i : i + n] for n in sizes for i in range(len(marked) - n + 1)]
