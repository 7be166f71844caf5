"""gdl check: whether a model is the density that it says it is, e.g. model=made or run=latest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdl.process import enable_garbage_collection, run_as_process
from gdl.stopping import told_to_stop  # everything else is imported where a signal is heard

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import Tensor

    from gdl.audit import Finding
    from gdl.data.base import ImageData
    from gdl.families.base import GenerativeModel

__all__ = ["check", "main"]

IMAGES = 512
"""Images of the data that the checks see at most."""


def check(cfg: DictConfig) -> list[Finding]:
    """Check a model, print the table, and raise where a check has failed."""
    from gdl.audit import FAILED
    from gdl.audit import check as check_model
    from gdl.errors import GdlError

    model, x = _of_run(cfg) if cfg.run is not None else _of_configuration(cfg)
    enable_garbage_collection()
    findings = check_model(model, x, trained=cfg.run is not None)
    _print(type(model).__name__, findings, cfg.verbose)
    failed = [f for f in findings if f.verdict == FAILED]
    if failed:
        first = failed[0]
        raise GdlError(
            f"{len(failed)} of {len(findings)} checks of {type(model).__name__} failed; {first.check}: "
            f"{first.reason}."
        )
    return findings


def _of_run(cfg: DictConfig) -> tuple[GenerativeModel, Tensor]:
    """Return the model of a run and test images.

    Raises:
        GdlError: There is no such run, or a model or data are given beside it.
    """
    from hydra.core.hydra_config import HydraConfig

    from gdl.errors import GdlError
    from gdl.runs.checkpoints import open_run

    given = [
        o for o in HydraConfig.get().overrides.task if o.lstrip("+~").startswith(("model", "data"))
    ]
    if given := [o for o in given if not o.lstrip("+~").startswith("data_dir")]:
        raise GdlError(
            f"A run has its own model and data: leave out {given[0]}, or leave out run= to check a "
            "model without training it."
        )
    _, model, data = open_run(cfg.run, "cpu", data_dir=cfg.data_dir)
    return model, data.images("test")[:IMAGES]


def _of_configuration(cfg: DictConfig) -> tuple[GenerativeModel, Tensor]:
    """Return the model that the configuration describes, with fresh weights, and training images."""
    import torch
    from hydra.utils import instantiate

    from gdl.errors import GdlError
    from gdl.families.base import GenerativeModel
    from gdl.training.conditional import add_classes
    from gdl.training.run import build_model

    data: ImageData = instantiate(cfg.data, _convert_="all")
    add_classes(cfg, data)
    torch.manual_seed(cfg.seed)
    model = build_model(cfg.model)
    if not isinstance(model, GenerativeModel):
        raise GdlError(f"model._target_={cfg.model.get('_target_')} is no GenerativeModel.")
    data.prepare_data()
    x = data.images("val" if data.levels is None else "train")[:IMAGES]
    return model, x


def _print(name: str, findings: list[Finding], verbose: bool) -> None:
    """Print the table; what does not apply is counted, or with `verbose` listed with its reason."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from gdl.audit import NOT_APPLICABLE, PASSED

    table = Table(title=Text(f"gdl check: {name}"), show_lines=False)
    for column, right in (
        ("check", False),
        ("figure", True),
        ("at most", True),
        ("verdict", False),
    ):
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    shown = [f for f in findings if verbose or f.verdict != NOT_APPLICABLE]
    for f in shown:
        title = f"{f.check}: {f.what}" if f.what else f.check
        verdict = f.verdict if f.verdict == PASSED or not f.reason else f"{f.verdict}: {f.reason}"
        table.add_row(*map(Text, (title, _number(f.figure), _number(f.tolerance), verdict)))
    Console(markup=False, emoji=False).print(table)
    counts = {
        v: sum(f.verdict == v for f in findings)
        for v in dict.fromkeys(f.verdict for f in findings)
    }
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


def _number(x: float | None) -> str:
    return "-" if x is None else f"{x:.3g}"


def main() -> None:
    """Run the command on the arguments of this process."""
    with told_to_stop():
        from gdl.commands.entry import run_command

        run_command(check, "check")


if __name__ == "__main__":
    run_as_process(main)
