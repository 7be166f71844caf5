"""gdl explore: one HTML page in which a browser decodes, e.g. run=latest out=explorer.html."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gdl.process import enable_garbage_collection, run_as_process
from gdl.stopping import told_to_stop  # everything else is imported where a signal is heard

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from gdl.data.base import ImageData
    from gdl.explorer.epochs import Epoch
    from gdl.explorer.served import Served
    from gdl.families.base import GenerativeModel
    from gdl.runs.directory import Run

__all__ = ["explore", "main"]

POINTS = 1000
"""Test images on the map, at most, where points= says nothing."""

SECONDS = 20.0
"""How long a server encodes them, at most; a slow model has fewer."""


def explore(cfg: DictConfig) -> str:
    """Write the page of a run and print where it is.

    Args:
        cfg: See conf/explore.yaml.

    Raises:
        GdlError: The page cannot run the model.
    """
    import os
    from pathlib import Path

    from gdl.explorer import Subject, write_page
    from gdl.explorer.writer import check_place
    from gdl.files import for_shell
    from gdl.runs.checkpoints import open_run
    from gdl.runs.links import check_links

    if cfg.serve:
        return serve(cfg)
    out = Path(os.path.expanduser(cfg.out)) if cfg.out else None
    if out is not None:
        check_place(out)  # before what takes long
    run, model, data = open_run(cfg.run, "cpu", data_dir=cfg.data_dir)
    if out is None:
        check_links(run.path)
    enable_garbage_collection()
    epochs = _epochs(cfg, run, model) if cfg.checkpoints else []
    tested = is_tested(cfg.run, run)
    subject = Subject(run, model, data, cfg.points or POINTS, cfg.seed, epochs, tested)
    path = write_page(subject, out or run.explorer_html)
    print(f"explorer:   {for_shell(path)}, {path.stat().st_size / 1e6:.2f} MB")
    return str(path)


def serve(cfg: DictConfig) -> str:
    """Serve the page of a run, with the model in this process, until a signal ends it.

    Raises:
        GdlError: The interface or the port cannot be had, the model has no latents, or a key has no
            meaning here.
        Interrupted: There was a signal.
    """
    from gdl.errors import GdlError
    from gdl.explorer import Subject
    from gdl.explorer.served import Served
    from gdl.explorer.server import PageServer
    from gdl.explorer.writer import page_of
    from gdl.runs.checkpoints import open_run

    for key in ("out", "checkpoints"):
        if cfg[key]:
            raise GdlError(
                f"{key}={cfg[key]} is of a page in a file: leave it out, or serve=true."
            )
    server = PageServer(cfg.host, cfg.port)  # before what takes long
    if server.is_open:
        print(
            f"warning: host={cfg.host} lets other machines reach the page: who knows its address can "
            "use the model, and the network in between can read along.",
            file=sys.stderr,
        )
    run, model, data = open_run(cfg.run, cfg.device, data_dir=cfg.data_dir)
    served = Served(model)
    points = cfg.points or _affordable(served, data)
    subject = Subject(run, model, data, points, cfg.seed, tested=is_tested(cfg.run, run))
    page = page_of(subject, served.programs)
    enable_garbage_collection()
    print(f"explorer:   {server.address}")
    print("            Ctrl+C ends it")
    server.serve(*page, served)
    return server.address


def is_tested(spec: str, run: Run) -> bool:
    """Return whether run= means the weights that were tested: those of the best checkpoint."""
    from gdl.runs.directory import BEST
    from gdl.runs.finding import find_run

    best = run.checkpoints / BEST
    path = find_run(str(spec))[1] or run.checkpoint("best")
    return path.resolve() == best or not best.exists()


def _affordable(served: Served, data: ImageData) -> int:
    """Return how many test images the map of a served model has; say it if they are few."""
    if "encode" not in served.programs:
        return POINTS
    images = data.images("test")[:POINTS]
    points = served.points_in(SECONDS, images)
    if points < len(images):
        print(f"points:     {points}, as many as this model encodes in {SECONDS:g} s")
    return points


def _epochs(cfg: DictConfig, run: Run, model: GenerativeModel) -> list[Epoch]:
    """Return the epochs of a run that its page shows, and say which ones have no room there.

    Raises:
        GdlError: There are none, or a checkpoint is named.
    """
    from gdl.errors import GdlError
    from gdl.explorer.epochs import read_epochs
    from gdl.files import for_shell

    if str(cfg.run).endswith(".ckpt"):
        name = for_shell(run.path)
        raise GdlError(f"checkpoints=true shows all epochs of a run: name the run, run={name}.")
    epochs = read_epochs(run, model)
    numbers = ", ".join(str(e.number) for e in epochs)
    if left := len(run.epochs()) - len(epochs):
        print(f"epochs:     {numbers}; {left} more have no room on a page")
    return epochs


def main() -> None:
    """Run the command on the arguments of this process."""
    with told_to_stop():
        from gdl.commands.entry import run_command

        run_command(explore, "explore")


if __name__ == "__main__":
    run_as_process(main)
