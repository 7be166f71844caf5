"""gdl decompress: the images of a file of gdl compress, e.g. images.gdlz out=images run=latest."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gdl.process import enable_garbage_collection, run_as_process
from gdl.stopping import told_to_stop  # everything else is imported where a signal is heard

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig

__all__ = ["decompress", "main"]


def decompress(cfg: DictConfig) -> list[Path]:
    """Write the images of a file as PNG, all of them or, where one would be wrong, none.

    Args:
        cfg: See conf/decompress.yaml.

    Raises:
        GdlError: The file is damaged or of another run, or an image exists already.
    """
    import time
    from pathlib import Path

    from gdl.coding import decompress as decode
    from gdl.coding import unpack
    from gdl.coding.image_files import numbered, write_images
    from gdl.errors import GdlError
    from gdl.files import for_shell
    from gdl.runs.checkpoints import load_run_model

    if len(cfg.files) != 1:
        raise GdlError(
            "gdl decompress takes one file: gdl decompress images.gdlz out=images run=latest."
        )
    path = Path(cfg.files[0]).expanduser()
    if not path.is_file():
        raise GdlError(f"There is no file {for_shell(path)}.")
    content, where = path.read_bytes(), for_shell(path)
    unpack(content, where)  # a damaged file is told before a run is looked for
    _, model = load_run_model(cfg.run, "cpu")
    enable_garbage_collection()
    started = time.perf_counter()
    images, header = decode(model, content, where)
    seconds = time.perf_counter() - started
    names = numbered(header.count) if header.names is None else header.names
    written = write_images(images, Path(cfg.out), names, header.levels)
    print(f"images:     {len(written):,}, {len(written) / seconds:,.0f} per second, all exact")
    print(f"folder:     {for_shell(cfg.out)}")
    return written


def main() -> None:
    """Run the command on the arguments of this process."""
    with told_to_stop():
        from gdl.commands.entry import run_command
        from gdl.commands.overrides import with_files

        sys.argv[1:] = with_files(sys.argv[1:], "decompress")
        run_command(decompress, "decompress")


if __name__ == "__main__":
    run_as_process(main)
