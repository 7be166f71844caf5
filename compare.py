"""Compare runs: python compare.py outputs/ data=digits model=nice,glow_tiny."""

import sys

from omegaconf import DictConfig

from gdl import cli


def compare(cfg: DictConfig) -> None:
    """Print the finished runs of the folders, those on the same data in one table."""
    from gdl.compare import group_seeds, print_board, read_runs, select
    from gdl.errors import GdlError

    entries, unfinished = read_runs(cfg.folders)
    chosen = select(entries, cfg.where)
    if not chosen:
        raise GdlError(
            f"None of the {len(entries)} finished runs below {', '.join(cfg.folders)} is meant: "
            "name another folder or leave a filter out."
        )
    print_board(group_seeds(chosen) if cfg.group_seeds else chosen, unfinished)


if __name__ == "__main__":
    sys.argv[1:] = cli.with_filters(sys.argv[1:], "compare")
    cli.main(compare, "compare")
