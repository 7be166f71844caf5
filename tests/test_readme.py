"""The commands, code and links of README.md and docs/ are real."""

import doctest
import re
import shlex
from pathlib import Path
from unittest import mock

import forked
import hydra
import pytest

from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.measure_keys import with_measure_keys
from gdl.commands.old_spellings import with_new_names
from gdl.commands.overrides import mounted, with_filters, with_value
from gdl.commands.quoting import with_quoted_paths

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()
PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "RELEASE")]
PAGES += sorted((ROOT / "docs").glob("*.md"))


def commands():
    for page in PAGES:
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                is_script = words[:1] == ["python"] and re.fullmatch(r"\w+\.py", words[1])
                if is_script and "NAME" not in line:
                    yield " ".join(words), words[1], words[2:]


@pytest.mark.parametrize(
    ("script", "args"), [c[1:] for c in commands()], ids=lambda v: str(v)[:60]
)
def test_every_command_composes(script, args, monkeypatch):
    config = script.removesuffix(".py")
    assert (ROOT / script).is_file()
    register_resolvers()
    if script == "compare.py":
        args = with_filters(args, config)
    args = with_quoted_paths([with_value(arg) for arg in args])
    args = with_measure_keys(with_new_names(args, config), config)
    overrides = mounted([a for a in args if a != "-m"], config)
    # a sweep's lists of choices are for the sweeper; the first of each is enough here
    overrides = [re.sub(r"^([\w@.]+=\w+),[\w,]+$", r"\1", o) for o in overrides]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        hydra.compose(config, overrides)


GROUPS = (
    "model network corruption likelihood data trainer callbacks logger optimizer scheduler experiment "
    "sweep task measure"
)


@pytest.mark.parametrize("group", GROUPS.split())
def test_every_choice_is_in_the_table_and_exists(group):
    lines = (ROOT / "docs" / "commands.md").read_text().splitlines()
    (row,) = [line for line in lines if re.match(rf"\|[^|]*`{group}`", line)]
    for path in (CONF / group).glob("*.yaml"):
        if (group, path.stem) != ("trainer", "default"):
            assert f"`{path.stem}`" in row


def test_there_are_exactly_two_set_up_commands():
    assert re.findall(r"<!-- (setup:\w+) -->", TEXT) == ["setup:run", "setup:test"]
    assert len(re.findall(r"pip install", TEXT)) == 2


def test_no_address_of_a_package_index_is_in_the_constraints():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert all(line.count("==") == 1 for line in text.splitlines() if not line.startswith("#"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.fixture(scope="module")
def folder_with_a_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    done = forked.gdl("train", "trainer=debug", "logger=none", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_python_code_runs_and_prints_what_it_says(page, folder_with_a_run, monkeypatch):
    monkeypatch.chdir(folder_with_a_run)
    assert doctest.testfile(str(ROOT / page), module_relative=False) == (0, mock.ANY)
    assert ">>> import gdl" in (ROOT / page).read_text()
