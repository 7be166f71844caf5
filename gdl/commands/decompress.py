"""gdl decompress: what is in a file of gdl compress, e.g. images.gdlz out=images run=latest."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gdl.process import enable_garbage_collection, run_as_process
from gdl.stopping import told_to_stop  # everything else is imported where a signal is heard

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig

    from gdl.coding import Header

__all__ = ["decompress", "main"]


def decompress(cfg: DictConfig) -> list[Path]:
    """Write the images of a file as PNG, or its texts: all, or none where one would be wrong.

    Args:
        cfg: See conf/decompress.yaml.

    Raises:
        GdlError: The file is damaged or of another run, or what would be written exists already.
    """
    from pathlib import Path

    from gdl.coding import unpack
    from gdl.errors import GdlError
    from gdl.files import for_shell

    if len(cfg.files) != 1:
        raise GdlError(
            "gdl decompress takes one file: gdl decompress images.gdlz out=images run=latest."
        )
    path = Path(cfg.files[0]).expanduser()
    if not path.is_file():
        raise GdlError(f"There is no file {for_shell(path)}.")
    content, where = path.read_bytes(), for_shell(path)
    # what is wrong with the file or the folder is told before the work begins
    header, _ = unpack(content, where)
    return (_images if header.texts is None else _texts)(cfg, content, where, header)


def _images(cfg: DictConfig, content: bytes, where: str, header: Header) -> list[Path]:
    import time
    from pathlib import Path

    from gdl.coding import decompress as decode
    from gdl.coding.image_files import numbered, write_images
    from gdl.coding.names import free_paths
    from gdl.files import for_shell
    from gdl.runs.checkpoints import load_run_model

    out = Path(cfg.out)
    names = numbered(header.count) if header.names is None else header.names
    free_paths(out, names, ".png")
    _, model = load_run_model(cfg.run, "cpu")
    enable_garbage_collection()
    started = time.perf_counter()
    images, _ = decode(model, content, where)
    seconds = time.perf_counter() - started
    written = write_images(images, out, names, header.levels)
    print(f"images:     {len(written):,}, {len(written) / seconds:,.0f} per second, all exact")
    print(f"folder:     {for_shell(out)}")
    return written


def _texts(cfg: DictConfig, content: bytes, where: str, header: Header) -> list[Path]:
    import time

    from gdl.coding import decompress_texts
    from gdl.coding.text_files import text_paths, write_texts
    from gdl.files import for_shell
    from gdl.runs.checkpoints import load_run_model

    assert header.names is not None
    assert header.texts is not None
    paths = text_paths(cfg.out, header.names)
    _, model = load_run_model(cfg.run, "cpu")
    enable_garbage_collection()
    started = time.perf_counter()
    contents, _ = decompress_texts(model, content, where)
    rate = sum(header.texts.sizes) / (time.perf_counter() - started)
    write_texts(contents, paths)
    files = f" in {len(paths):,} files" if len(paths) > 1 else ""
    size = sum(map(len, contents))
    print(f"text:       {size:,} bytes{files}, {rate:,.0f} symbols per second, all exact")
    single = len(paths) == 1
    print(f"file:       {for_shell(paths[0])}" if single else f"folder:     {for_shell(cfg.out)}")
    return paths


def main() -> None:
    """Run the command on the arguments of this process."""
    with told_to_stop():
        from gdl.commands.entry import run_command
        from gdl.commands.overrides import with_files

        sys.argv[1:] = with_files(sys.argv[1:], "decompress")
        run_command(decompress, "decompress")


if __name__ == "__main__":
    run_as_process(main)
