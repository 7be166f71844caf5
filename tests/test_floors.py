"""No import runs up the floors of the package or in a circle, and each library has its rooms."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS = [  # from the ground
    [
        *(
            "errors",
            "exported",
            "files",
            "memory",
            "noise",
            "part",
            "plain",
            "capabilities",
            "plots",
        ),
        *(
            "pictures",
            "process",
            "restored_numbers",
            "serialization",
            "stopping",
            "texts",
            "version",
            "webpage",
        ),
    ],
    ["kernels", "corruptions"],
    ["nn", "distributions", "data"],
    ["flows"],
    ["families"],
    ["models"],
    ["restoration"],
    ["tasks", "evaluation", "coding", "audit"],
    ["runs", "tracking"],
    ["explorer", "export"],
    ["training", "sweeps", "comparison", "api"],
    ["commands"],
    ["__init__", "__main__"],
]
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted((ROOT / "gdl").rglob("*.py"))
HYDRA = {"hydra", "omegaconf", "hydra_plugins"}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "gdl").parts[0].removesuffix(".py")


def imports(path: Path, typing_too: bool = False) -> list[tuple[int, str]]:
    """Return the modules that a file imports, anywhere in it, with their lines."""
    tree, found = ast.parse(path.read_text()), []
    for_types = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types and not typing_too:
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            names = [f"{module}.{a.name}" for a in node.names] if module == "gdl" else [module]
            found += [(node.lineno, name) for name in names]
    return found


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_import_runs_up(path: Path) -> None:
    room = room_of(path)
    for line, module in imports(path):
        if not module.startswith("gdl."):
            continue
        other = module.split(".")[1]
        if other in FLOOR and other != room:
            assert FLOOR[other] <= FLOOR[room], f"{path}:{line} imports {module}, which is above"


def test_no_rooms_import_each_other_in_a_circle() -> None:
    below: dict[str, set[str]] = {room: set() for room in FLOOR}
    for path in FILES:
        names = {m.split(".")[1] for _, m in imports(path) if m.startswith("gdl.")}
        below[room_of(path)] |= (names & set(FLOOR)) - {room_of(path)}
    done: set[str] = set()
    while len(done) < len(below):
        free = {room for room, others in below.items() if room not in done and others <= done}
        assert free, f"a circle among {sorted(set(below) - done)}"
        done |= free


def test_no_modules_import_each_other_in_a_circle() -> None:
    """A package's __init__ is left out: it hands on the names of the modules that import from it."""
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in FILES}
    below = {
        name: {m for _, m in imports(path) if m in modules and m != name}
        for name, path in modules.items()
        if path.name != "__init__.py"
    }
    done: set[str] = set()
    while len(done) < len(below):
        free = {name for name, others in below.items() if name not in done and others <= done}
        assert free, f"a circle among {sorted(set(below) - done)}"
        done |= free


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_each_library_has_its_rooms(path: Path) -> None:
    room = room_of(path)
    libraries = {module.split(".")[0] for _, module in imports(path)}
    if room not in ("commands", "training"):
        assert not libraries & HYDRA, "only commands and training know Hydra"
    if room not in ("plots", "comparison", "tasks"):
        assert "matplotlib" not in libraries, "only plots draws"


OUTPUTS = ("metrics.csv", "metrics.json", "run.json", "status.json", "best.ckpt", ".hydra")
"""Names in a run directory, which only gdl.runs spells out as paths."""


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_runs_knows_the_layout_of_outputs(path: Path) -> None:
    if room_of(path) == "runs":
        return
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            for side in (node.left, node.right):
                if isinstance(side, ast.Constant):
                    assert side.value not in OUTPUTS, f"{path}:{node.lineno}: {side.value}"


def test_models_and_kernels_know_little() -> None:
    for path in FILES:
        names = {m.split(".")[1] for _, m in imports(path) if m.startswith("gdl.")}
        if room_of(path) == "data":
            assert not names & {"models", "families", "flows"}, f"{path}: data know no model"
        if room_of(path) in ("kernels", "nn"):
            assert not names & {"flows", "families", "models"}, f"{path} knows flows or models"
