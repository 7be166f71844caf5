"""The README's table of models is the one that docs/make_tables.py writes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gdl.errors import GdlError

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import make_tables  # noqa: E402


def test_the_table_of_models_is_up_to_date():
    command = [sys.executable, str(ROOT / "docs" / "make_tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path):
    for name in ("conf", "results", "gdl/models"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def test_a_change_of_a_record_or_a_docstring_is_noticed(copy):
    assert make_tables.main(["--check"], copy) == 0
    record = copy / "results" / "made_mnist.json"
    record.write_text(record.read_text().replace("85.811", "84.811"))
    assert make_tables.main(["--check"], copy) == 1
    assert make_tables.main([], copy) == 0
    assert make_tables.main(["--check"], copy) == 0
    assert "84.81 nats" in (copy / "README.md").read_text()
    (copy / "gdl" / "models" / "glow.py").write_text('"""Glow."""\n')
    with pytest.raises(GdlError, match=r"glow\.py: the docstring must start with a line"):
        make_tables.main(["--check"], copy)


def test_every_model_and_recipe_has_its_row():
    rows = make_tables.table(ROOT).splitlines()[2:]
    files = {f.name for f in (ROOT / "gdl" / "models").glob("*.py")} - {"__init__.py"}
    assert len(rows) == len(files)
    assert all(any(f"[{name}](gdl/models/{name})" in row for row in rows) for name in files)
    recipes = [f.stem for f in (ROOT / "conf" / "experiment").glob("*.yaml")]
    assert all(sum(f"`{name}`" in row for row in rows) == 1 for name in recipes)
    folders = [f for f in (ROOT / "conf" / "experiment").iterdir() if f.is_dir()]
    for folder in folders:
        count = len([*folder.glob("*.yaml")])
        told = [re.findall(rf"`{folder.name}/` \((\d+) recipe", row) for row in rows]
        assert sum(int(n) for found in told for n in found) == count, folder
    (glow,) = [row for row in rows if row.startswith("| Glow |")]
    assert "`glow_cifar10`, `glow_mnist`" in glow
    assert "3.541 bits/dim, cifar10 (copy with other checksums), dequant-1" in glow
