"""Seeded cases of bad input: values of the configuration, and damage to the files of a run."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gdl.commands.conf import CONF

TINY = [
    *("data=digits", "logger=csv", "trainer.max_epochs=1", "callbacks.images.n=4"),
    *("+trainer.limit_train_batches=2", "trainer.limit_val_batches=1"),
    *(
        "trainer.limit_test_batches=1",
        "data.eval_batch_size=20",
        "callbacks.images.every_n_epochs=1",
    ),
]
"""Overrides of a training of two steps."""

SMALL = {
    "glow": ["model.depth=1", "model.width=8", "model.num_levels=2"],
    "glow_small": ["model.depth=1", "model.width=8", "model.num_levels=2"],
    "glow_tiny": ["model.depth=1", "model.width=8", "model.num_levels=2"],
    "nice": ["model.hidden=[8]"],
    "pixelcnn": ["model.width=8", "model.layers=2", "model.hidden=8"],
    "pixelcnn_pp": ["model.width=8", "model.resolutions=2"],
    "realnvp": ["model.width=8", "model.blocks=1"],
    "transformer": ["model.width=16", "model.blocks=1"],
}
"""Overrides that make the larger models quick."""

WRONG = {
    "type": ["abc", "1.5", "[1,2]", "{a: 1}", "null", "true", "'1'", "[]", "[/x]", "'3 px'"],
    "extreme": ["0", "-1", "1000000000", "1" + 30 * "0", "1e300", "nan", "inf", "-inf", "-0.5"],
    "name": [
        "mnist",
        "adam",
        "vae",
        "glow_tiny",
        "cosine",
        "bernoulli",
        "x" * 300,
        "../x",
        "'ä b'",
    ],
}
"""Values that no key of a group, or hardly one, is meant to have."""


@dataclass(frozen=True)
class Case:
    """A command with bad input.

    Args:
        name: What is bad.
        command: train, sample, evaluate or compare.
        args: Its arguments.
        damage: Called with a copy of a run directory, which the command finds as `run`.
    """

    name: str
    command: str
    args: tuple[str, ...]
    damage: Callable[[Path], None] | None = None


# ---- values


def scalars(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the key and value of everything in a configuration that is no dict."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from scalars(value, f"{prefix}{key}.")
        elif key != "defaults":
            yield f"{prefix}{key}", value


PACKAGES = {
    "corruption": "model.corruption.",
    "likelihood": "model.likelihood.",
    "network": "model.",
    "optimizer": "model.optimizer.",
    "scheduler": "model.scheduler.",
}
FOLDER = ["data=folder", "data.root=images", "data.size=8"]


def settings() -> list[tuple[str, list[str], str, Any]]:
    """Return command, arguments, key and value of every scalar in conf/."""
    found = []
    for path in sorted(CONF.rglob("*.yaml")):
        group, name = path.parent.relative_to(CONF).as_posix(), path.stem
        if group.startswith(("sweep", "hydra", "experiment", "trainer")) and name != "default":
            continue  # choices of choices, other devices, and what Hydra's plugins read
        node = OmegaConf.to_container(OmegaConf.load(path))
        assert isinstance(node, dict)
        node.pop("hydra", None)
        for key, value in scalars(node):
            if group == ".":
                found.append((name, [], key, value))
            elif group in ("task", "measure"):
                command = {"task": "sample", "measure": "evaluate"}[group]
                full = f"{group}.{key}"
                found.append((command, [f"{group}={name}"], full, value))
            elif group == "score":
                found.append(("evaluate", ["measure=ood"], f"measure.scores.{key}", value))
            else:
                base = [f"{group}={name}"] if group not in ("model", "data") else []
                other = "denoising_ae" if group == "corruption" or name == "unet" else "vae"
                base += [f"model={name if group == 'model' else other}"]
                base += SMALL.get(name, []) if group == "model" else []
                if group == "data":
                    base += FOLDER if name == "folder" else [f"data={name}"]
                    if name in ("mnist", "fashion_mnist", "binarized_mnist", "cifar10"):
                        base += ["data.num_val=20"]
                full = PACKAGES.get(group, f"{group}.") + key
                found.append(("train", base, full, value))
    return found


def value_cases(seed: int, per_key: int = 1) -> list[Case]:
    """Return cases in which one key has a value that does not fit."""
    chance, cases = random.Random(seed), []
    for command, base, key, _ in settings():
        for _ in range(per_key):
            wrong = chance.choice(WRONG[chance.choice([*WRONG])])
            plus = "+" if key.endswith("_target_") else ""
            run = {"sample": ["run=run"], "evaluate": ["run=run", "limit=8"], "compare": ["."]}
            run |= {"check": ["data=digits", "model=vae"], "decompress": ["run=run", "x.gdlz"]}
            # with a file, serve=true is refused, and serves not for ever
            run |= {"explore": ["run=run", "out=page.html"], "export": ["run=run"]}
            run["compress"] = ["run=run", "limit=8"]
            args = [*TINY, *base] if command == "train" else [*run[command], *base]
            args = [a for a in args if a.partition("=")[0].lstrip("+") != key]
            cases.append(
                Case(
                    f"{command} {' '.join(base)} {key}={wrong:.20}",
                    command,
                    (*args, f"{plus * 2}{key}={wrong}"),
                )
            )
    return cases


OPTIONS = [
    *("max_time", "min_epochs", "min_steps", "fast_dev_run", "overfit_batches", "strategy"),
    *(
        "val_check_interval",
        "enable_checkpointing",
        "enable_progress_bar",
        "gradient_clip_algorithm",
    ),
    *("deterministic", "benchmark", "inference_mode", "detect_anomaly", "barebones", "plugins"),
    *("sync_batchnorm", "reload_dataloaders_every_n_epochs", "num_nodes", "limit_predict_batches"),
    *("logger", "callbacks", "model_registry", "nothing"),
]
"""Options of Lightning's Trainer that are in no file; they are added with a plus."""

HYDRA = [
    *(
        "run.dir",
        "sweep.dir",
        "sweep.subdir",
        "verbose",
        "job.chdir",
        "job.name",
        "job.num",
        "mode",
    ),
    *(
        "output_subdir",
        "searchpath",
        "job_logging",
        "callbacks",
        "launcher",
        "sweeper",
        "help",
        "job",
    ),
    *("runtime.output_dir", "run", "overrides", "nothing"),
]
"""Keys of Hydra itself."""

LINES = [
    *(["--cfg"], ["--cfg", "all"], ["--cfg", "job", "--resolve"], ["--info", "x"], ["--nothing"]),
    *(["--config-name", "x"], ["--config-dir"], ["--config-dir", "x"], ["--package", "x"], ["-p"]),
    *(["--hydra-help"], ["--run", "-m"], ["-h", "x"], ["=3"], ["+"], ["++x"], ["~"], ["~seed"]),
    *(["~model"], ["~data"], ["~trainer"], ["~callbacks"], ["~logger"], ["~task"], ["~measure"]),
    *(
        ["model"],
        ["x=y=z"],
        ["model=vae,made"],
        ["-m", "model.latent_dim=3,x"],
        ["'"],
        ["{"],
        [" "],
    ),
    *(
        ["-m"],
        ["-m", "sweep=optuna", "sweep.trials=x"],
        ["-m", "resume=run"],
        ["-m", "seed=range(x)"],
    ),
    *(["-m", "model=vae,vea"], ["hydra/launcher=x", "-m"], ["hydra/launcher=ray", "-m"]),
    *(["-m", "sweep.rerun=x"], ["-m", "hydra.sweep.dir=run/run.json"], ["a/b@c:d=e"], ["@x=y"]),
    *(["hydra.run.dir='[/x]/[bold] :cat:'"], ["-m", "sweep.name='[/x]'", "model.latent_dim=3,x"]),
    *(["trainer.max_epochs=-1", "+trainer.max_time=00:00:00:01", "scheduler=cosine"],),
    *(["seed=${x}"], ["seed=${oc.env:NOTHING}"], ["seed=${seed}"], ["model.beta=${levels:x}"]),
]
"""Command lines that make no sense, or little."""


def line_cases(seed: int) -> list[Case]:
    """Return cases of odd command lines, of options of the trainer and of keys of Hydra."""
    chance, cases = random.Random(seed), []
    tiny = {
        "train": [*TINY, "model=vae"],
        "sample": ["run=run"],
        "evaluate": ["run=run", "limit=8"],
    }
    for line in LINES:
        command = chance.choice([*tiny, "compare"]) if "-m" not in line else "train"
        cases.append(Case(f"{command} {line}", command, (*tiny.get(command, ["."]), *line)))
    for key in [*(f"+trainer.{o}" for o in OPTIONS), *(f"hydra.{k}" for k in HYDRA)]:
        command = (
            "train" if key.startswith("+") or chance.random() < 0.6 else chance.choice([*tiny])
        )
        wrong = chance.choice(WRONG[chance.choice([*WRONG])])
        plus = chance.choice(["", "+", "++"]) if key.startswith("hydra") else ""
        args = (*tiny[command], f"{plus}{key}={wrong}")
        cases.append(Case(f"{command} {plus}{key}={wrong:.20}", command, args))
    return cases


# ---- damage


def _replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def _directory(path: Path, chance: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _unreadable(path: Path, chance: random.Random) -> None:
    path.chmod(0)


def _other(path: Path, chance: random.Random) -> None:
    top = path
    while not (top / "run.json").is_file():
        top = top.parent
    others = [p for p in sorted(top.rglob("*")) if p.is_file() and p.suffix != path.suffix]
    _replace(path, chance.choice(others).read_bytes())


def _wrong_type(path: Path, chance: random.Random) -> None:
    texts = [
        b"[]",
        b"null",
        b'"text"',
        b"3",
        b'{"model": 3}',
        b'{"model": {"a": [1]}, "data": []}',
    ]
    _replace(path, chance.choice(texts))


def _huge(path: Path, chance: random.Random) -> None:
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        for key, value in list(content.items()):
            if isinstance(value, int | float):
                content[key] = chance.choice([float("nan"), float("inf"), -1e308, 10**400])
            elif chance.random() < 0.5:
                content[key] = chance.choice([[10**30], {"a": 1}, None, "[/x]", 5])
        _replace(path, json.dumps(content).encode())
    elif path.suffix in (".yaml", ".csv"):
        words = path.read_text().split(" ")
        for _ in range(5):
            words[chance.randrange(len(words))] = chance.choice(["nan", "1e999", "9" * 400])
        _replace(path, " ".join(words).encode())
    else:
        _replace(path, b"\xff" * 10_000)


def _link(path: Path, chance: random.Random) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _bytes(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes() or b"x")
    for _ in range(1 + len(content) // 500):
        content[chance.randrange(len(content))] = chance.randrange(256)
    _replace(path, bytes(content))


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "empty": lambda path, chance: _replace(path, b""),
    "cut": lambda path, chance: _replace(path, path.read_bytes()[: path.stat().st_size // 2]),
    "random bytes": _bytes,
    "a directory": _directory,
    "unreadable": _unreadable,
    "another file": _other,
    "of another type": _wrong_type,
    "huge or NaN": _huge,
    "a broken link": _link,
}
"""The nine kinds of damage to a file of a run."""

OPENING = [
    ("sample", ("run=run",)),
    ("sample", ("run=latest", "task=reconstruct", "task.n=4")),
    ("evaluate", ("run=run", "measure=bits", "measure.draws=1")),
    ("compare", (".",)),
    ("compare", (".", "report=html", "data=digits", "wandb=false")),
    ("load", ("run",)),
    ("train", ("resume=run",)),
    ("train", ("resume=latest", "trainer.max_epochs=2", "model.optimizer.lr=0.1")),
    ("sample", ("run=run/checkpoints/best.ckpt",)),
]
"""Commands that open a run, and their arguments."""


def damage_cases(seed: int, run: Path, per_damage: int = 1) -> list[Case]:
    """Return cases in which one file of a run is damaged."""
    chance, cases = random.Random(seed), []
    files = [p.relative_to(run) for p in sorted(run.rglob("*")) if p.is_file()]
    for file in files:
        for kind, damage in DAMAGES.items():
            for _ in range(per_damage):
                command, args = chance.choice(OPENING)
                own = random.Random(chance.random())
                cases.append(
                    Case(
                        f"{file} is {kind}: {command} {' '.join(args)}",
                        command,
                        args,
                        lambda path, d=damage, f=file, c=own: d(path / f, c),
                    )
                )
    return cases


def place(case: Case, run: Path, folder: Path) -> None:
    """Make the folder in which a case runs, with a copy of a run and a damaged one."""
    folder.mkdir(parents=True)
    target = folder / "outputs" / "digits" / "vae" / "run"
    shutil.copytree(run, target)
    (folder / "run").symlink_to(target)
    if case.damage:
        case.damage(target)
        # the damaged run stands beside a good one, with a name that rich would take for markup
        shutil.copytree(run, folder / "outputs" / "digits" / "vae" / "[/x] :cat:")
