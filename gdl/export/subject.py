"""What is exported: a model with its configuration, its numbers and its record."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gdl.exported import TORCH, WEIGHTS
from gdl.families.base import GenerativeModel
from gdl.plain import everything
from gdl.runs.checkpoints import load_run_model
from gdl.runs.directory import BEST, Run
from gdl.runs.finding import find_run
from gdl.serialization import read_checkpoint

__all__ = ["Subject", "Written", "subject_of"]

KEPT = ("model", "data", "seed", "config_dir")
"""Parts of a run's configuration that say what model it is, and of what data."""


@dataclass(frozen=True)
class Subject:
    """A model and what is known of it."""

    model: GenerativeModel
    """In eval mode, on the CPU."""
    config: dict[str, Any]
    """The plain configuration of model and data, see `gdl.serialization.build`."""
    metrics: dict[str, Any]
    """The numbers of these weights, as in metrics.json; empty where they are not known."""
    record: dict[str, Any]
    """What run.json says: commands, commit, hardware."""

    def load_call(self) -> str:
        """Return the lines of Python that load the model from a folder FOLDER."""
        nodes = [
            v for v in everything(self.config.get("model", {}), "the model") if isinstance(v, dict)
        ]
        names = [type(self.model).__module__, *(str(v.get("_target_", "gdl")) for v in nodes)]
        packages = {name.partition(".")[0] for name in names} - {"gdl"}
        trust = f', trust="{",".join(sorted(packages))}"' if packages else ""
        return f'import gdl\n\nmodel = gdl.load("FOLDER"{trust})'

    def example_inputs(self) -> str:
        """Return the lines of Python that make inputs of an encoder, for numpy."""
        size = ", ".join(map(str, (2, *self.model.shape)))
        kind = "float32" if self.model.levels is None else "uint8"
        lines = [f"x = np.zeros(({size}), np.{kind})  # yours"]
        if self.model.num_classes:
            lines.append("y = np.zeros(2, np.int64)  # their labels")
        return "\n".join(lines)


@dataclass
class Written:
    """What a format has written into a folder."""

    files: dict[str, str] = field(default_factory=dict)
    """What each file is, by its name."""
    usage: str = ""
    """Lines of Python that use it."""
    notes: list[str] = field(default_factory=list)
    """Sentences about it, for the card and the terminal."""
    facts: dict[str, Any] = field(default_factory=dict)
    """More for config.json."""


def subject_of(spec: str, trust: str | Iterable[str] = ()) -> tuple[Run, Subject]:
    """Return a run and what is exported of it.

    The numbers of a run are those of its best checkpoint. With another checkpoint there are none.

    Args:
        spec: A run directory, a checkpoint, an export, or "latest".
        trust: Packages of the reader's own that the checkpoint may name.

    Raises:
        GdlError: Nothing matches, or it cannot be read.
    """
    run, model = load_run_model(spec, "cpu", trust)
    own = dict(model.config or {})
    own["model"] = own.get("model") or model.description()
    config = {key: own[key] for key in KEPT if own.get(key) is not None}
    _, path = find_run(spec)
    if path is not None and path.name in (WEIGHTS, TORCH):
        before = Run(path.parent)  # whatever the run around it has become
        return run, Subject(model, config, before.metrics(), before.record_facts())
    best = run.checkpoints / BEST
    tested = (path or run.checkpoint("best")).resolve() == best or not best.exists()
    metrics = run.metrics() if tested else {}
    if not _are_of(metrics, read_checkpoint(path or run.checkpoint("best"))):
        metrics = {}
    return run, Subject(model, config, metrics, run.record_facts())


def _are_of(metrics: dict[str, Any], checkpoint: dict[str, Any]) -> bool:
    """Return whether numbers are of a checkpoint, and not of the best before training went on."""
    best = checkpoint.get("gdl_best")
    if not isinstance(best, dict):
        return True
    value = best.get("value")
    return metrics.get(f"best_{best.get('monitor')}", value) == value
