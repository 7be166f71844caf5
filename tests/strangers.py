"""Mutated runs of strangers, and a watch over what happens while one of them is opened."""

import io
import json
import os
import random
import shutil
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

CANARY = "canary-7c1e"
"""Value of the environment variable GDL_SECRET, which no run may get to see."""

TARGETS: list[dict[str, Any]] = [
    {"_target_": "os.makedirs", "name": "pwned"},
    {"_target_": "os.system", "command": "touch pwned"},
    {"_target_": "os.getenv", "key": "GDL_SECRET"},
    {"_target_": "subprocess.run", "args": ["touch", "pwned"]},
    {"_target_": "builtins.exec", "_args_": ["open('pwned', 'w')"]},
    {"_target_": "builtins.eval", "_args_": ["open('pwned', 'w')"]},
    {"_target_": "shutil.copytree", "src": ".", "dst": "pwned"},
    {"_target_": "pathlib.Path.touch", "self": "pwned"},
    {"_target_": "urllib.request.urlretrieve", "url": "http://127.0.0.1:9/pwned"},
    {"_target_": "numpy.load", "file": "evil.npy", "allow_pickle": True},
    {"_target_": "torch.load", "f": "evil.pt", "weights_only": False},
    {"_target_": "torch.hub.load", "repo_or_dir": "evil", "model": "pwned", "source": "local"},
    {"_target_": "torch.save", "obj": 1, "f": "pwned"},
    {"_target_": "pickle.loads", "_args_": ["cos\nsystem\n(S'touch pwned'\ntR."]},
    {"_target_": "sympy.sympify", "a": "open('pwned', 'w')"},
    {"_target_": "importlib.import_module", "name": "antigravity"},
    {"_target_": "antigravity.webbrowser.open", "url": "http://127.0.0.1:9/pwned"},
    {
        "_target_": "hydra.utils.instantiate",
        "config": {"_target_": "os.makedirs", "name": "pwned"},
    },
    {"_target_": "gdl.serialization.os.makedirs", "name": "pwned"},
    {"_target_": "gdl.data.cifar.os.makedirs", "name": "pwned"},
    {"_target_": "gdl.data.os.makedirs", "name": "pwned"},
    {"_target_": "gdl.callbacks.os.makedirs", "name": "pwned"},
    {"_target_": "gdl.runs.directory.subprocess.run", "args": ["touch", "pwned"]},
    {"_target_": "gdl.files.write_atomically", "path": "pwned", "content": "x"},
    {"_target_": "gdl.runs.directory.Run", "path": "pwned"},
    {"_target_": "gdl.models.vae.torch.hub.load", "repo_or_dir": "evil", "model": "pwned"},
    {"_target_": "gdl.tracking.wandb_logger.os.makedirs", "name": "pwned"},
    {"_target_": "torch.optim.os.makedirs", "name": "pwned"},
    {"_target_": "torch.utils.cpp_extension.load_inline", "name": "pwned", "cpp_sources": ""},
    {"_target_": "lightning.pytorch.cli.LightningCLI"},
    {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "pwned"},
    {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": "pwned"},
    {"_target_": "lightning.pytorch.loggers.MLFlowLogger", "tracking_uri": "http://127.0.0.1:9"},
    {"_target_": "mylab.Thing"},
]
"""Calls that a stranger would like to be made."""

TEXTS = [
    "${oc.create:{_target_: os.makedirs, name: pwned}}",
    "${oc.env:GDL_SECRET}",
    "${oc.decode:'{_target_: os.makedirs, name: pwned}'}",
    "${hydra:runtime.cwd}",
    "../../../../pwned",
    "../pwned/x",
    "{cwd}/pwned",
    "file://{cwd}/pwned",
    "os.makedirs",
    "mylab.Thing",
    "pwned",
]
"""Texts that would do harm if they were resolved, taken for a path of one's own, or called."""

WRAPS: list[Callable[[Any], Any]] = [
    lambda p: p,
    lambda p: [p],
    lambda p: (p,),
    lambda p: {"a": p},
    lambda p: {"a": (p, [p])},
    lambda p: ((1, {"b": [p]}),),
    lambda p: OrderedDict(a=p),
    lambda p: {**p, "_partial_": True} if isinstance(p, dict) else {"_args_": [p]},
    lambda p: {"_target_": "gdl.nn.MLPEncoder", "hidden": [8], "act": p},
    lambda p: {"_target_": "torch.optim.Adam", "_partial_": True, "lr": p},
]


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each node of nested dicts and lists."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, item in items:
        yield from nodes(item, (*path, key))


def put(content: Any, path: tuple[Any, ...], value: Any) -> None:
    """Replace a node."""
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


def payload(chance: random.Random, cwd: Path) -> Any:
    """Return something harmful, in a container."""
    bare = chance.choice([*TARGETS, *TEXTS])
    if isinstance(bare, str):
        bare = bare.replace("{cwd}", str(cwd))
    return chance.choice(WRAPS)(bare)


def plain(value: Any) -> Any:
    """Return a payload for a file that has no tuples."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value


def in_checkpoint(run: Path, chance: random.Random) -> str:
    """Mutate both checkpoints of a run; return what was done."""
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    places = [p for p in nodes(content) if p[0] != "state_dict" or chance.random() < 0.1]
    config = [p for p in places if p[0] == "gdl_config"]
    path = chance.choice(config if chance.random() < 0.7 else places)
    bad = payload(chance, run.parent)
    put(content, path, bad)
    if chance.random() < 0.3:
        content[chance.choice(["hyper_parameters", "datamodule_hyper_parameters", "x"])] = bad
    buffer = io.BytesIO()
    torch.save(content, buffer)
    for name in ("best.ckpt", "last.ckpt"):
        (run / "checkpoints" / name).write_bytes(buffer.getvalue())
    return f"checkpoint {'.'.join(map(str, path))} = {bad!r}"


KEYS = [
    *("callbacks.x", "callbacks.images.folder", "callbacks.checkpoint", "callbacks.last.dirpath"),
    *("callbacks.last.filename", "logger.x", "logger.csv.path", "logger", "model.x", "model"),
    *("model.encoder", "model.latent_dim", "model.optimizer", "model.scheduler", "data", "data.x"),
    *("data.data_dir", "trainer.x", "trainer.plugins", "trainer.strategy", "trainer.callbacks"),
    *("trainer.default_root_dir", "trainer.profiler", "hydra.callbacks.x", "hydra.run.dir"),
    *("hydra.searchpath", "hydra.job_logging", "run_dir", "config_dir", "resume", "trust", "seed"),
    *("experiment", "optimizer@model.optimizer", "compile", "checkpoint_every", "_target_"),
]
"""Keys that a saved override may set."""


def in_overrides(run: Path, chance: random.Random) -> str:
    """Add an override to those that are saved; return it."""
    value = plain(payload(chance, run.parent))
    text = json.dumps(value).replace('"_target_"', "_target_").replace("\\", "")
    if isinstance(value, str):
        text = chance.choice([value, f"'{value}'"])
    override = chance.choice(["", "+", "++"]) + f"{chance.choice(KEYS)}={text}"
    file = run / ".hydra" / "overrides.yaml"
    file.write_text(yaml.safe_dump([*yaml.safe_load(file.read_text()), override]))
    return override


def in_text(run: Path, chance: random.Random) -> str:
    """Mutate a YAML or JSON file; return what was done."""
    name = chance.choice(["run.json", "metrics.json", ".hydra/config.yaml", ".hydra/hydra.yaml"])
    file, bad = run / name, plain(payload(chance, run.parent))
    read, write = (
        (json.loads, json.dumps) if file.suffix == ".json" else (yaml.safe_load, yaml.dump)
    )
    content = read(file.read_text())
    path = chance.choice(list(nodes(content)))
    put(content, path, bad)
    text = write(content)
    if file.suffix == ".yaml" and chance.random() < 0.3:
        text += "\nx: !!python/object/apply:os.makedirs [pwned]\n"
    file.write_text(text)
    return f"{name} {'.'.join(map(str, path))} = {bad!r}"


def in_table(run: Path, chance: random.Random) -> str:
    """Write formulas and code into metrics.csv."""
    file = run / "metrics.csv"
    bad = chance.choice(["=cmd|'/C calc'!A0", "__import__('os').mkdir('pwned')", "<script>"])
    file.write_text(file.read_text().replace(",", f",{bad},", 3))
    return f"metrics.csv {bad}"


def in_links(run: Path, chance: random.Random) -> str:
    """Replace a file or folder of a run by a link to one of the reader's."""
    name = chance.choice(["images", "checkpoints", ".hydra", "metrics.csv", "run.json"])
    target = run.parent / "mine"
    target.mkdir(exist_ok=True)
    if (run / name).is_dir():
        shutil.copytree(run / name, target / name)
        shutil.rmtree(run / name)
    else:
        shutil.move(run / name, target / name)
    (run / name).symlink_to(target / name)
    return f"{name} is a link"


MUTATIONS = [*3 * [in_checkpoint], *2 * [in_overrides], in_text, in_links, in_table]

OPENINGS = [
    ("sample", ("run=run",)),
    ("sample", ("run=run/checkpoints/best.ckpt", "task=reconstruct", "out=run/images/x")),
    ("evaluate", ("run=run", "measure=bits", "measure.draws=1")),
    ("compare", ("outputs", "report=html")),
    ("load", ("run",)),
    ("load", ("run/checkpoints/last.ckpt",)),
    ("train", ("resume=run", "trainer.max_epochs=2")),
    ("train", ("resume=run/checkpoints/last.ckpt", "trainer.max_epochs=2")),
]
"""Commands that open a run, and their arguments; "load" is that of Python."""


# ---- the watch, in the process of the command

CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod")
CHANGES += (
    "os.chown",
    "os.truncate",
    "os.utime",
    "shutil.copyfile",
    "shutil.move",
    "shutil.rmtree",
)
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "socket.", "pickle.")
FORBIDDEN += ("ctypes.", "webbrowser.", "urllib.", "ftplib.", "sqlite3.", "pty.", "code.")
OWN_LIBRARY = ("libnvidia-ml.so.1",)  # torch asks it whether there is a GPU
OWN_VARIABLES = (b"HYDRA_", b"PYTORCH_", b"PL_", b"KMP_", b"GDL_")
MODULES = ("antigravity", "mylab", "this", "sympy", "hubconf")


def watch() -> None:
    """Write to the file `seen` beside the current directory what must not happen."""
    cwd = os.getcwd()
    own = (
        f"{cwd}/outputs/digits/vae/run/",
        f"{cwd}/outputs/.report.html",
        f"{cwd}/outputs/report.html",
    )
    seen = os.open(f"{cwd}.seen", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.dont_write_bytecode = True

    def foreign(path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        real = os.path.realpath(os.fsdecode(path))
        return not f"{real}/".startswith((*own, "/dev/", "/proc/"))

    def listen(event: str, args: tuple[Any, ...]) -> None:
        # the name of this machine is in run.lock
        bad = event.startswith(FORBIDDEN) and event != "socket.gethostname"
        if event == "ctypes.dlopen":
            bad = args[0] not in OWN_LIBRARY
        elif event == "os.putenv":
            bad = not args[0].startswith(OWN_VARIABLES)
        elif event == "open":
            path, mode, flags = args
            written = any(c in (mode or "r") for c in "wax+")
            written |= bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            bad = written and foreign(path)
        elif event == "os.mkdir" and os.path.isdir(args[0]):
            bad = False
        elif event in CHANGES:
            bad = any(foreign(a) for a in args if isinstance(a, str | bytes | os.PathLike))
        elif event == "subprocess.Popen":
            bad = list(args[1])[:2] != ["git", "-C"]
        elif event == "import":
            bad = str(args[0]).partition(".")[0] in MODULES
        elif event in ("compile", "exec"):
            bad = "pwned" in str(args[0])
        if bad:
            os.write(seen, f"{event} {args!r:.200}\n".encode())

    sys.addaudithook(listen)
