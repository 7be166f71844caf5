"""Links and pipes in a run's directory, which may be somebody else's."""

import os
from pathlib import Path

from gdl.errors import GdlError

__all__ = ["check_links"]


def check_links(run: Path) -> None:
    """Refuse a directory with links out of it, through which its new files would be written.

    Raises:
        GdlError: There is such a link, or a pipe, which would be waited for.
    """
    run = run.resolve()
    for folder, folders, files in os.walk(run):
        if Path(folder) == run / "wandb":
            folders.clear()  # W&B links to its own logs, and writes to new folders only
            continue
        for path in (Path(folder, name) for name in [*folders, *files]):
            if path.is_symlink():
                if not _leads_below(path, run):
                    raise GdlError(
                        f"{path} is a link that leads out of the run: copy the run with what it "
                        "links to (cp -rL) and use the copy."
                    )
            elif not (path.is_file() or path.is_dir()):
                raise GdlError(f"{path} is neither a file nor a folder: remove it.")


def _leads_below(link: Path, folder: Path) -> bool:
    try:
        return link.resolve().is_relative_to(folder)
    except (OSError, RuntimeError):  # it leads to itself
        return False
