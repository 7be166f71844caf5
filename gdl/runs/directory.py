"""Run directories: the only file that knows the layout of outputs/.

outputs/<data>/<model>/<time>/   a run, or a job of a sweep: outputs/sweeps/<name>/<job>/
    .hydra/          the composed configuration and the overrides it came from
    run.json         facts about the run: commands, commit, W&B run, hardware
    train.log        what training printed
    checkpoints/     best.ckpt, last.ckpt; epoch_0003.ckpt, see epochs.py
    metrics.csv      one row per logged step
    metrics.json     final numbers; train.py writes them, evaluate.py adds to them
    images/          grids of samples and reconstructions; results of sample.py
    status.json      jobs only: running, done, failed or interrupted; the objective, or the reason
    output.txt       jobs only: the output of the job's process, or the traceback of a failure
    run.lock         locked by the process that writes here, see lock.py
outputs/sweeps/<name>/study.db   the trials of an Optuna search
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gdl.errors import GdlError
from gdl.exported import exported_facts, exported_weights
from gdl.files import (
    for_shell,
    is_whole_archive,
    path_below,
    read_json,
    read_text,
    read_yaml,
    write_json,
)
from gdl.runs.epochs import epoch_files, epoch_of
from gdl.runs.metrics import checked_metrics
from gdl.version import __version__

__all__ = [
    "BEST",
    "LAST",
    "Run",
    "git_commit",
    "job_dirs",
    "study_db",
    "sweep_dir",
    "wandb_facts",
]

BEST, LAST = "best.ckpt", "last.ckpt"
"""The checkpoint that is tested, and the one that training goes on from."""


class Run:
    """One run directory.

    Args:
        path: The directory; created if it is not there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()
        self.checkpoints = self.path / "checkpoints"
        self.images = self.path / "images"
        self.metrics_csv = self.path / "metrics.csv"
        self.metrics_json = self.path / "metrics.json"
        self.record = self.path / "run.json"
        self.status_json = self.path / "status.json"
        self.output_txt = self.path / "output.txt"
        self.train_log = self.path / "train.log"
        self.explorer_html = self.path / "explorer.html"

    def note_command(self, **facts: Any) -> dict[str, Any]:
        """Append the command of this process to run.json and return the content.

        Args:
            **facts: Facts about the run, stored where the file does not have them yet.
        """
        self.images.mkdir(parents=True, exist_ok=True)
        self.checkpoints.mkdir(exist_ok=True)
        known = self.record_facts()
        # the module of a command, as python -m and Lightning's processes name it; else a script
        module = getattr(sys.modules["__main__"].__spec__, "name", "")
        known_as = module.removeprefix("gdl.commands.")
        words = ["python", sys.argv[0]] if known_as == module else ["gdl", known_as]
        command = " ".join(map(for_shell, [*words, *sys.argv[1:]]))  # as it can be typed
        record = {
            "gdl": __version__,
            "started": time.strftime("%Y-%m-%d %H:%M:%S"),
            "git_commit": git_commit(),
            **facts,
            **known,
            "commands": [*known.get("commands", []), command],
        }
        write_json(self.record, record)
        return record

    def record_facts(self) -> dict[str, Any]:
        """Return the content of run.json.

        Raises:
            GdlError: The file is damaged.
        """
        facts = read_json(self.record) or exported_facts(self.path, "record")
        commands = facts.get("commands", [])
        texts = [facts.get(key) for key in ("git_commit", "wandb_id", "model", "data")]
        if not isinstance(commands, list) or not all(
            text is None or isinstance(text, str) for text in [*commands, *texts]
        ):
            raise GdlError(f"{self.record} is damaged: it is no record of a run; remove it.")
        return facts

    def note_facts(self, **facts: Any) -> None:
        """Add facts to run.json; facts with the same names are replaced."""
        write_json(self.record, read_json(self.record) | facts)

    def metrics(self) -> dict[str, Any]:
        """Return the content of metrics.json, empty before the end of training.

        Raises:
            GdlError: The file is damaged.
        """
        content = read_json(self.metrics_json) or exported_facts(self.path, "numbers")
        return checked_metrics(content, self.metrics_json)

    def merge_metrics(self, metrics: dict[str, Any]) -> None:
        """Add numbers to metrics.json; numbers with the same names are replaced."""
        merged = self.metrics() | metrics
        write_json(self.metrics_json, merged)

    def overrides(self) -> list[str]:
        """Return the command-line overrides that the run was started with.

        Raises:
            GdlError: The directory is not a gdl run, or its list of overrides is damaged.
        """
        path = self.path / ".hydra" / "overrides.yaml"
        if not path.is_file():
            raise GdlError(f"{self.path} has no .hydra/overrides.yaml, so it is not a gdl run.")
        try:
            saved = read_yaml(read_text(path, 1_000_000), path) or []
        except GdlError:
            saved = None
        if not isinstance(saved, list) or not all(isinstance(o, str) for o in saved):
            raise GdlError(f"{path} is damaged, it is no list of arguments: start the run again.")
        return [o for o in saved if not o.lstrip("+").startswith("resume=")]

    @property
    def sweep(self) -> str | None:
        """Name of the sweep that the run belongs to; None for a run outside of sweeps."""
        return self.path.parent.name if self.status_json.is_file() else None

    def newest_samples(self) -> Path | None:
        """Return the newest grid of samples, or text file of them; None if there is none."""
        endings = (".png", ".txt")
        grids = sorted(p for p in self.images.glob("samples_epoch*") if p.suffix in endings)
        return grids[-1] if grids else None

    @property
    def has_checkpoint(self) -> bool:
        """Whether a checkpoint to go on from was ever written, complete or not."""
        return any(epoch_of(path) is None for path in self.checkpoints.glob("*.ckpt"))

    def epochs(self) -> dict[int, Path]:
        """Return the files with the weights of single epochs by their number, see callbacks=history."""
        return epoch_files(self.checkpoints)

    def checkpoint(self, prefer: str = "best") -> Path:
        """Return a complete checkpoint: the preferred one, else the other one, else an export.

        Args:
            prefer: "best" or "last".

        Raises:
            GdlError: There is no complete checkpoint.
        """
        names = [BEST, LAST] if prefer == "best" else [LAST, BEST]
        damaged = []
        for path in (self.checkpoints / name for name in names):
            if is_whole_archive(path):
                return path
            if path.exists():
                damaged.append(path.name)
        if not damaged and (exported := exported_weights(self.path)) is not None:
            return exported  # commands that were given an export keep their records beside it
        found = f" ({', '.join(damaged)} is damaged)" if damaged else ""
        raise GdlError(
            f"{self.path} has no complete checkpoint{found}: start the run again without resume."
        )


def wandb_facts(record: dict[str, Any]) -> dict[str, str]:
    """Return id, project, entity and group of a run's W&B run, from run.json, as far as it has them.

    The file may be a stranger's: what is no plain text is left out, so that nothing is built from it.
    """
    used = record.get("wandb")
    if not isinstance(used, dict):
        used = {"id": record.get("wandb_id")}
    texts = {key: used.get(key) for key in ("id", "project", "entity", "group")}
    return {k: v for k, v in texts.items() if isinstance(v, str) and v and "${" not in v}


def sweep_dir(name: str) -> Path:
    """Return the folder of a sweep.

    Raises:
        GdlError: The name leads out of outputs/sweeps.
    """
    return path_below(Path("outputs", "sweeps"), name)


def job_dirs(sweep: Path) -> list[Path]:
    """Return the folders of the jobs of a sweep, sorted by name."""
    return [path.parent for path in sorted(sweep.glob("*/status.json"))]


def study_db(sweep: Path) -> Path:
    """Return the database of an Optuna search, see conf/sweep/optuna.yaml."""
    return sweep / "study.db"


def git_commit() -> str | None:
    """Return the commit of the code, with a "+" if it was changed since; None outside of git.

    Records in results/ and pages are no code.
    """
    root = Path(__file__).resolve().parent

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *args], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        # a wheel may be installed inside the repository of another project
        git("ls-files", "--error-unmatch", __file__)
        code = (":(top)", ":(top,exclude)results", ":(top,exclude,glob)**/*.md")
        dirty = git("status", "--porcelain", "--untracked-files=no", "--", *code)
        return git("rev-parse", "--short=12", "HEAD") + ("+" if dirty else "")
    except (OSError, subprocess.SubprocessError):
        return None
