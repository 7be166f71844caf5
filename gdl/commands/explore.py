"""gdl explore: one HTML page in which a browser decodes, e.g. run=latest out=explorer.html."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdl.process import enable_garbage_collection, run_as_process
from gdl.stopping import told_to_stop  # everything else is imported where a signal is heard

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["explore", "main"]


def explore(cfg: DictConfig) -> str:
    """Write the page of a run and print where it is.

    Args:
        cfg: See conf/explore.yaml.

    Raises:
        GdlError: The page cannot run the model.
    """
    from pathlib import Path

    from gdl.explorer import Subject, write_page
    from gdl.files import for_shell
    from gdl.runs.checkpoints import open_run
    from gdl.runs.links import check_links

    run, model, data = open_run(cfg.run, "cpu", data_dir=cfg.data_dir)
    if not cfg.out:
        check_links(run.path)
    enable_garbage_collection()
    subject = Subject(run, model, data, cfg.points, cfg.seed)
    path = write_page(subject, Path(cfg.out or run.explorer_html))
    print(f"explorer:   {for_shell(path)}, {path.stat().st_size / 1e6:.2f} MB")
    return str(path)


def main() -> None:
    """Run the command on the arguments of this process."""
    with told_to_stop():
        from gdl.commands.entry import run_command

        run_command(explore, "explore")


if __name__ == "__main__":
    run_as_process(main)
