"""Folder names of sweeps and their jobs: readable, and typed as they are, without quotes."""

import hashlib
import re
from pathlib import Path

from gdl.runs.directory import sweep_dir

__all__ = ["job_name", "sweep_name"]

OWN_KEYS = ("sweep", "hydra", "resume", "config_dir", "-")
"""Prefixes of arguments that say how a sweep is carried out, and not what it computes."""

LONGEST = 100
"""Characters of a name, without its hash; file systems allow 255 bytes."""


def sweep_name(args: list[str]) -> str:
    """Return the folder name of a sweep, a function of its arguments.

    A folder that an older version has named is kept, so that its sweep goes on.
    """
    what = sorted(a for a in args if "=" in a and not a.startswith(OWN_KEYS))
    method = [a for a in args if a.startswith(("sweep=", "config_dir="))]
    identity = " ".join([*what, *method])
    old = "_".join(a.partition("=")[2] for a in what) or "default"
    old = f"{_old_text(old)}-{_digest(identity)}"
    return old if sweep_dir(old).is_dir() else f"{_text(what)[0]}-{_digest(identity)}"


def job_name(overrides: str, sweep: str | Path | None = None) -> str:
    """Return the folder name of a job from its overrides; different overrides have different names.

    It has whole overrides; where one is too long, only its key; and a hash where it does not say all.

    Args:
        overrides: Joined by commas.
        sweep: The folder of the sweep. A job's folder there that an older version has named is kept.

    >>> job_name("model=vae,seed=1")
    'model-vae+seed-1'
    """
    parts = re.split(r",(?=[^,=]+=)", overrides)
    kept = [o for o in parts if o and not o.startswith(OWN_KEYS)]
    identity = ",".join(kept)
    old = _old_text(identity)
    if old != identity:
        old = f"{old}-{_digest(identity)}"
    if sweep is not None and old and (Path(sweep) / old).is_dir():
        return old
    name, complete = _text(kept)
    return name if complete else f"{name}-{_digest(identity)}"


def _text(overrides: list[str]) -> tuple[str, bool]:
    """Return overrides as a file name, and whether no others could have the same.

    The characters are those that neither a shell nor Hydra's grammar gives a meaning.
    """
    words: list[str] = []
    complete = True
    for override in overrides:
        key, _, value = override.partition("=")
        exact = re.fullmatch(r"[\w.@]+", key, re.A) and re.fullmatch(r"[\w.-]+", value, re.A)
        key, value = (re.sub(r"[^\w.@-]+", "_", x, flags=re.A).strip("_.") for x in (key, value))
        fitting = [w for w in (f"{key}-{value}", key) if len("+".join([*words, w])) <= LONGEST]
        words += fitting[:1]
        complete = complete and exact is not None and fitting[:1] == [f"{key}-{value}"]
    return "+".join(words) or "default", complete


def _old_text(text: str) -> str:
    """Return a text as earlier versions wrote it into a name."""
    return re.sub(r"[^\w=,.+-]+", "_", text)[:100].strip("_.")


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:6]
