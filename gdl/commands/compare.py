"""gdl compare: compares finished runs, e.g. outputs/ data=digits model=nice,glow_tiny."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gdl.process import run_as_process
from gdl.stopping import told_to_stop  # everything else is imported where a signal is heard

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig

__all__ = ["compare", "folder_of", "main"]


def compare(cfg: DictConfig) -> None:
    """Print the finished runs below some folders, in one table for each data set.

    On demand also write an HTML page, write RESULTS.md, or log the tables to W&B.

    Args:
        cfg: See conf/compare.yaml.

    Raises:
        GdlError: No run matches, or an argument is unknown.
    """
    from pathlib import Path

    from gdl.comparison.codes import known_codes
    from gdl.comparison.detection import detection_tables
    from gdl.comparison.disentanglement import disentanglement_tables
    from gdl.comparison.entries import read_runs, select
    from gdl.comparison.latent_use import collapse_lines
    from gdl.comparison.restoration import restoration_tables
    from gdl.comparison.seeds import group_seeds
    from gdl.comparison.streams import stream_tables
    from gdl.comparison.tables import comparison_tables
    from gdl.comparison.terminal import print_tables
    from gdl.comparison.translation import translation_tables
    from gdl.errors import GdlError
    from gdl.files import for_shell

    if cfg.report not in (None, "html"):
        raise GdlError(f"report={cfg.report} does not exist: report=html writes a page.")
    entries, left_out = read_runs(folders := [folder_of(name) for name in cfg.folders])
    chosen = select(entries, cfg.where)
    shown = group_seeds(chosen) if cfg.group_seeds else chosen
    coders = known_codes()
    tables = comparison_tables(shown, coders)
    more = [*detection_tables(chosen), *disentanglement_tables(shown), *restoration_tables(chosen)]
    more += [*translation_tables(chosen), *stream_tables(chosen)]
    print_tables([*tables, *more], left_out, cfg.paths)
    for line in collapse_lines(shown):
        print(line)
    if not chosen:
        where = ", ".join(map(for_shell, folders))
        raise GdlError(
            f"None of the {len(entries)} runs with results below {where} matches: "
            "name another folder or leave a filter out."
        )
    if cfg.curve:
        from gdl.comparison.sweep_curves import sweep_tables, write_sweep_figures

        numbers = [str(number) for number in cfg.metrics or ()]
        print_tables(sweep_tables(chosen, cfg.curve, numbers))
        for path in write_sweep_figures(chosen, cfg.curve, numbers, Path(folders[0])):
            print(f"curve:      {for_shell(path)}")
    if cfg.report:
        from gdl.comparison.page.page import write_page

        file = Path(cfg.report_path or Path(folders[0], "report.html"))
        print(f"report:     {for_shell(write_page(shown, left_out, file, coders))}")
    if cfg.results:
        from gdl.comparison.results import add_records, render

        add_records(chosen, Path("results"))
        Path("RESULTS.md").write_text(render(Path("results")))
        print("results:    RESULTS.md, from the records in results/")
    if cfg.wandb:
        from gdl.comparison.wandb_tables import log_tables

        print(f"W&B:        {log_tables(tables, shown, Path(folders[0]))}")


def folder_of(name: str) -> Path:
    """Return the folder that an argument means: its own, or the run's whose file it names."""
    import os
    from pathlib import Path

    from gdl.runs.finding import find_run, newest_runs

    path = Path(os.path.expanduser(name))
    return find_run(name)[0].path if path.exists() and not newest_runs(path) else path


def main() -> None:
    """Run the command on the arguments of this process."""
    with told_to_stop():
        from gdl.commands.entry import run_command
        from gdl.commands.overrides import with_filters

        sys.argv[1:] = with_filters(sys.argv[1:], "compare")
        run_command(compare, "compare")


if __name__ == "__main__":
    run_as_process(main)
