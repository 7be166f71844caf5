"""Arguments of older versions, and what they are called now."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["OLD_SPELLINGS", "OldSpelling", "with_new_names"]


@dataclass(frozen=True)
class OldSpelling:
    """An argument that has another spelling now.

    Args:
        now: The overrides that do the same; {} is the value.
        told: What the note proposes; {} is the value.
        ends: The version, and its month, that refuses the old spelling.
        nothing: Values that asked for nothing.
    """

    now: Sequence[str]
    told: str
    ends: str = "0.3 (2027-06)"
    nothing: Sequence[str] = ()


OLD_SPELLINGS: dict[str, dict[str, OldSpelling]] = {
    "evaluate": {
        "k": OldSpelling(
            ["measure.iwae.k={}"],
            "measure=iwae measure.k={}, or measure.iwae.k={} beside all other measures",
        ),
        "dequantization_samples": OldSpelling(
            ["+measure@measure.dequantization=dequantization", "measure.dequantization.k={}"],
            "measure=dequantization measure.k={}",
            nothing=["1"],
        ),
        "known": OldSpelling(
            ["+measure@measure.conditional=conditional", "measure.conditional.known={}"],
            "measure=conditional measure.known={}",
            nothing=["null"],
        ),
        "distances": OldSpelling(
            ["+measure@measure.distances=distances"],
            "measure=distances",
            nothing=["false", "no", "off", "0", "null"],
        ),
    }
}
"""Old arguments by command and key."""


def with_new_names(args: Sequence[str], config_name: str) -> list[str]:
    """Replace arguments of older versions, with a note on stderr for each.

    Args:
        args: The arguments of a command.
        config_name: Its file in conf/, without the ending.
    """
    table = OLD_SPELLINGS.get(config_name, {})
    out: list[str] = []
    for arg in args:
        key, _, value = arg.partition("=")
        old = table.get(key.lstrip("+"))
        if old is None:
            out.append(arg)
            continue
        asked = value.lower() not in old.nothing
        told = f"now {old.told.replace('{}', value)}" if asked else "the default"
        print(
            f"note: {arg} is {told}; the old spelling ends with version {old.ends}.",
            file=sys.stderr,
        )
        if asked:
            out += [override.replace("{}", value) for override in old.now]
    return out
