"""gdl export: weights that other programs read, e.g. run=latest format=safetensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdl.process import run_as_process
from gdl.stopping import told_to_stop  # everything else is imported where a signal is heard

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["export", "main"]


def export(cfg: DictConfig) -> str:
    """Write a model in a format for other programs.

    Args:
        cfg: See conf/export.yaml.

    Raises:
        GdlError: There is no such format.
    """
    from gdl.errors import GdlError

    raise GdlError(f"There is no format={cfg.format}: use safetensors, onnx or torch.")


def main() -> None:
    """Run the command on the arguments of this process."""
    with told_to_stop():
        from gdl.commands.entry import run_command

        run_command(export, "export")


if __name__ == "__main__":
    run_as_process(main)
