"""How near translations are to what was wanted: exact match, chrF and BLEU, all from 0 to 100."""

from collections import Counter
from collections.abc import Callable, Sequence, Sized
from statistics import median

import torch

from gdl.families.terms import with_error

__all__ = ["chrf", "scores_of_texts", "tokenization"]

CHARACTERS, WORDS = 6, 4
"""The longest n-grams of chrF and of BLEU."""

WEIGHT = 2.0
"""The beta of chrF: a recall counts this much more than a precision."""


def tokenization(targets: Sequence[str]) -> str:
    """Return the tokens in which BLEU counts these targets: "13a", words and punctuation, or "char".

    BLEU is about runs of four tokens. So it is that of single characters where the median target has
    fewer than four words and marks, as in a language without spaces.

    >>> tokenization(["2024-03-05"]), tokenization(["今日は日曜日です"])
    ('13a', 'char')
    """
    split = _tokenizer("13a")
    return "13a" if median(len(split(text)) for text in targets) >= WORDS else "char"


def scores_of_texts(
    texts: Sequence[str], wanted: Sequence[Sequence[str]], tokens: str
) -> dict[str, float]:
    """Return "exact" with its standard error, "chrf" and "bleu-{tokens}", in percent.

    Args:
        texts: N translations, at least one.
        wanted: The right ones of each; any of them is an exact match.
        tokens: See `tokenization`.
    """
    right = [100.0 * (text in some) for text, some in zip(texts, wanted, strict=True)]
    found = with_error("exact", torch.tensor(right, dtype=torch.float64))
    return found | {"chrf": chrf(texts, wanted), f"bleu-{tokens}": _bleu(texts, wanted, tokens)}


def chrf(texts: Sequence[str], wanted: Sequence[Sequence[str]]) -> float:
    """Return the chrF of a set of translations (Popovic, 2015, "chrF: character n-gram F-score").

    It is the mean of the F-scores, with beta = 2, of the n-grams of 1 to 6 characters, spaces left
    out, each counted over the whole set. Of several right translations the one with the best score
    counts.

    Note:
        torchmetrics' `CHRFScore(n_word_order=0)` gives the same but in two cases: it leaves out what
        was wanted where nothing of it was found, so that an empty translation costs nothing; and it
        counts n-grams that are longer than the right translations as wrong, where these are short.

    Args:
        texts: N translations.
        wanted: The right ones of each.
    """
    orders = range(1, _longest(CHARACTERS, _characters, wanted) + 1)
    total = torch.zeros(len(orders), 3, dtype=torch.float64)
    for text, some in zip(texts, wanted, strict=True):
        own = _counts(text, orders)
        each = [_overlap(own, _counts(right, orders)) for right in some]
        total += max(each, key=lambda counts: float(_f_score(counts)))
    return 100 * float(_f_score(total))


def _longest(most: int, split: Callable[[str], Sized], wanted: Sequence[Sequence[str]]) -> int:
    """Return the length of the longest n-grams that a set of right translations has for certain."""
    sizes = (min(len(split(text)) for text in some) for some in wanted)
    return max(1, min(most, max(sizes)))


def _characters(text: str) -> str:
    return "".join(text.split())


def _counts(text: str, orders: range) -> list[Counter[str]]:
    s = _characters(text)
    return [Counter(s[i : i + n] for i in range(len(s) - n + 1)) for n in orders]


def _overlap(own: list[Counter[str]], right: list[Counter[str]]) -> torch.Tensor:
    """Return, for each order, how many n-grams are common, how many own and how many right ones."""
    rows = [((a & b).total(), a.total(), b.total()) for a, b in zip(own, right, strict=True)]
    return torch.tensor(rows, dtype=torch.float64)


def _f_score(counts: torch.Tensor) -> torch.Tensor:
    """Return the mean of the F-scores of orders (N, 3); it is 0 where nothing is common."""
    common, own, right = counts.unbind(1)
    # the harmonic mean of common / own and common / right, whose weights are 1 and beta^2
    return ((1 + WEIGHT**2) * common / (WEIGHT**2 * right + own).clamp(min=1)).mean()


def _bleu(texts: Sequence[str], wanted: Sequence[Sequence[str]], tokens: str) -> float:
    """Return the BLEU of a set of translations, as sacreBLEU counts it (Post, 2018, arXiv 1804.08771).

    Runs of tokens have up to 4 of them, fewer where all right translations are shorter.
    """
    from torchmetrics.text import SacreBLEUScore  # takes seconds to import

    longest = _longest(WORDS, _tokenizer(tokens), wanted)
    score = SacreBLEUScore(n_gram=longest, tokenize=tokens)  # pyright: ignore[reportArgumentType]
    return 100 * float(score(texts, wanted))


def _tokenizer(tokens: str) -> Callable[[str], Sequence[str]]:
    from torchmetrics.text import SacreBLEUScore  # takes seconds to import

    return SacreBLEUScore(tokenize=tokens).tokenizer  # pyright: ignore[reportArgumentType]
