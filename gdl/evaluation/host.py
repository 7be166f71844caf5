"""What a command does for a measure or a task: it opens data and runs, and says where files go."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gdl.capabilities import Incapable
from gdl.data.base import ImageData
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel

__all__ = ["Host"]


def _no_data(name: str) -> ImageData:
    raise Incapable(
        f"This measure asks for data={name}, and only gdl evaluate opens data by name."
    )


def _no_own_data() -> ImageData:
    raise Incapable("This task asks for the run's data, and only gdl sample and evaluate open it.")


def _no_run(name: str) -> Any:
    raise Incapable(
        f"This asks for the run {name}, and only gdl evaluate and gdl sample open runs."
    )


@dataclass
class Host:
    """A measure, or a task, with a parameter `host` gets one from the command that calls it.

    Args:
        folder: Where files go.
        names: The other data that the command was asked for, as data=[mnist,noise]; empty for none.
        out: A file that the user names for the measure's table; its other files go beside it and are
            called after it.
        open_data: Returns data by their name.
        open_run: Returns the model of a run, in eval mode, by its directory or checkpoint.
        open_run_and_data: Returns the model of a run and the data that it was trained on.
        data: Returns the data of the run itself, which a task is not given.
    """

    folder: Path
    names: Sequence[str] = ()
    out: Path | None = None
    open_data: Callable[[str], ImageData] = _no_data
    open_run: Callable[[str], GenerativeModel] = _no_run
    open_run_and_data: Callable[[str], tuple[GenerativeModel, ImageData]] = _no_run
    data: Callable[[], ImageData] = _no_own_data
    written: list[Path] = field(default_factory=list)
    """The files so far, which the command prints at the end."""

    def table(self, name: str) -> Path:
        """Return the file of the measure's table, by default called e.g. "scores.csv" in the folder.

        Raises:
            GdlError: The user's file has another ending.
        """
        if self.out is None:
            return self.file(name)
        if self.out.suffix.lower() != Path(name).suffix:
            raise GdlError(
                f"out={self.out} does not end in {Path(name).suffix}: name a file that does, or a "
                "folder."
            )
        return self._noted(self.out)

    def file(self, name: str) -> Path:
        """Return where another file goes, and make its folder; asked for before the long work."""
        if self.out is not None:
            return self._noted(self.out.with_name(f"{self.out.stem}-{name}"))
        return self._noted(self.folder / name)

    def _noted(self, path: Path) -> Path:
        """Note a file, and see that it can be written before the long work.

        Raises:
            GdlError: It cannot.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path.parent).close()
        except OSError as e:
            raise GdlError(
                f"{path.parent} cannot be written ({e.strerror}): name another place with out=."
            ) from e
        self.written.append(path)
        return path
