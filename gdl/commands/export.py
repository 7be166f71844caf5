"""gdl export: weights that other programs read, e.g. run=latest format=safetensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdl.process import enable_garbage_collection, run_as_process
from gdl.stopping import told_to_stop  # everything else is imported where a signal is heard

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["export", "main"]


def export(cfg: DictConfig) -> str:
    """Write a model into a folder for other programs, and print what was written.

    Args:
        cfg: See conf/export.yaml.
    """
    from pathlib import Path

    from gdl.export import check_format, subject_of, write_export
    from gdl.files import for_shell
    from gdl.runs.links import check_links

    check_format(cfg.format)
    run, subject = subject_of(cfg.run)
    if cfg.out is None:
        check_links(run.path)
    folder = Path(cfg.out or run.path / f"export_{cfg.format}").expanduser()
    enable_garbage_collection()
    written = write_export(subject, cfg.format, folder)
    for note in written.notes:
        print(note)
    for name, what in written.files.items():
        size = (folder / name).stat().st_size
        print(f"{name + ':':<20}{size:,} bytes, {what}")
    print(f"{'README.md:':<20}the model card")
    print(f"{'export:':<20}{for_shell(folder)}")
    return str(folder)


def main() -> None:
    """Run the command on the arguments of this process."""
    with told_to_stop():
        from gdl.commands.entry import run_command

        run_command(export, "export")


if __name__ == "__main__":
    run_as_process(main)
