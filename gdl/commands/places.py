"""Where a resumed run may write: below its own directory, whatever its saved arguments say."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gdl.errors import GdlError

__all__ = ["check_places", "reads_elsewhere"]

PATHS = ("path", "dirpath", "folder", "save_dir", "default_root_dir", "root_dir", "dir", "log_dir")
"""Names of keys whose values are paths from the current directory; others are parts of a path."""


def check_places(cfg: DictConfig, folder: Path, given: Sequence[str]) -> None:
    """Refuse a resumed run that writes outside its directory.

    Args:
        cfg: The composed configuration, without interpolations.
        folder: The directory of the run.
        given: The arguments of this command; what they set is the reader's own wish.

    Raises:
        GdlError: A callback, a logger or the trainer has such a path.
    """
    own = {argument.lstrip("+~").partition("=")[0] for argument in given}
    config: Any = OmegaConf.to_container(cfg)
    folder = (Path(config["run_dir"]) if "run_dir" in own else folder).resolve()
    parts = {key: config.get(key) for key in ("callbacks", "logger", "trainer")}
    for key, text in [("run_dir", str(config["run_dir"])), *_texts(parts, "")]:
        is_path = key == "run_dir" or key.rpartition(".")[2] in PATHS
        place = Path(text).expanduser() if is_path else folder / text
        try:
            inside = place.resolve().is_relative_to(folder)
        except (OSError, ValueError, RuntimeError):
            inside = False
        if not inside and key not in own:
            raise GdlError(
                f"The run to resume has {key}={text:.100}, which leads out of {folder}; it was not "
                f"started. If you want that, write {key}=... beside resume=."
            )


def _texts(node: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _texts(value, f"{key}.{name}".lstrip("."))
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, key)
    elif isinstance(node, str):
        yield key, node


def reads_elsewhere(override: str) -> bool:
    """Return whether a saved override calls a resolver, e.g. for a variable of the environment."""
    return re.search(r"\$\{.*:", override.replace("${levels:", "${levels "), re.DOTALL) is not None
