"""Where a page is written: what is no page is never replaced, and a stranger's numbers break none."""

import json
import os
import re
import zipfile

import pytest
from untrained import subject_of, vae

from gdl.commands.explore import is_tested
from gdl.errors import GdlError
from gdl.explorer import Subject, write_page
from gdl.explorer.facts import facts, facts_html
from gdl.explorer.writer import check_place
from gdl.files import write_atomically
from gdl.webpage import as_json


def test_a_page_replaces_pages_and_empty_files_only(tmp_path):
    subject = subject_of(vae(2), tmp_path)
    new, empty, page = (tmp_path / name for name in ("a b ü.html", "empty", "page.html"))
    empty.touch()
    page.write_text("\n<!DOCTYPE html>\n<title>an older one</title>")
    for path in (new, empty, page):
        write_page(subject, path)
        assert path.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("folder", r"is a folder: .* out=\S*folder/explorer.html\.$"),
        ("missing/x.html", "missing is not a folder"),
        ("best.ckpt", "is no page"),
        ("notes.md", "is no page"),
        ("pipe", "is no page"),
        ("link.html", "is no page"),
        ("file/x.html", "is not a folder"),
    ],
)
def test_nothing_else_is_replaced(tmp_path, name, said):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    files = {"best.ckpt": b"PK\3\4", "notes.md": b"# Notes", "file": b"x"}
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    (tmp_path / "link.html").symlink_to("notes.md")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(GdlError, match=said):
        check_place(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == before
    assert all((tmp_path / file).read_bytes() == content for file, content in files.items())


def test_no_file_takes_the_place_of_a_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GdlError, match="no ordinary file"):
        write_atomically(tmp_path / "pipe", "x")
    assert os.listdir(tmp_path) == ["pipe"]


VALUES = [
    *(None, True, 0, -1, 2**63, 10**400, 1e308, float("nan"), "", "x", "<b>", "\ud800", "\0"),
    *("x" * 100_000, [], [1], ["a", {}], {}, {"a": 1}, "${oc.env:HOME}", ["x" * 100_000]),
]
METRICS = {
    **{"model": "vae", "data": "digits", "kind": "bound", "test/bpd": 2.0, "test/bpd_se": 0.1},
    **{"data/shape": [1, 8, 8], "data/levels": 17, "data/digest": "ab", "data/train": 9},
    **{"data/test": 5, "test/images": 5, "data/mutation": 0.1, "data/fraction": 0.5},
    **{"data/bits": 5, "data/source": "x", "data/verified": False, "limited_by": "x"},
    **{"epochs": 3, "steps": 9, "seed": 1, "test/mse": 0.1, "iwae-5/bpd": 1.9},
}
RECORD = {"gdl": "1", "started": "now", "git_commit": "a", "data": "b", "commands": ["gdl train"]}


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return subject_of(vae(2), tmp_path_factory.mktemp("strange"))


@pytest.mark.parametrize("key", [*METRICS, *RECORD])
def test_no_value_in_the_files_of_a_run_breaks_or_fills_the_page(subject, key):
    for value in VALUES:
        files = [(subject.run.metrics_json, METRICS), (subject.run.record, RECORD)]
        for path, content in files:
            path.write_text(json.dumps(content | ({key: value} if key in content else {})))
        subject.__dict__.pop("metrics", None)
        found = facts(subject)
        text = facts_html(found) + as_json(found)
        assert len(text) < 50_000
        assert not re.search("<b>", text)


@pytest.mark.parametrize(
    "names", [7, 0.5, True, {"a": 1}, "abc", [None, ["x"]], ["x" * 10**6] * 99]
)
def test_names_of_classes_may_be_anything(subject, names):
    subject.__dict__.pop("class_names", None)
    subject.model.config = {"class_names": names}
    found = subject.class_names
    subject.model.config = {}
    assert len(found) == 10
    assert all(isinstance(name, str) and len(name) <= 100 for name in found)


@pytest.mark.parametrize(
    ("name", "tested"),
    [("", True), ("best.ckpt", True), ("last.ckpt", False), ("epoch_0003.ckpt", False)],
)
def test_a_checkpoint_that_was_not_tested_has_no_numbers(tmp_path, name, tested):
    subject = subject_of(vae(2), tmp_path, METRICS, RECORD)
    run = subject.run
    run.checkpoints.mkdir()
    for file in ("best.ckpt", "last.ckpt", "epoch_0003.ckpt"):
        with zipfile.ZipFile(run.checkpoints / file, "w") as archive:
            archive.writestr("x", "")
    found = is_tested(str(run.checkpoints / name if name else run.path), run)
    assert found == tested
    page = facts(Subject(run, subject.model, subject.data, tested=found))
    assert ("bits/dim" in dict(page["list"])) == tested
    assert dict(page["list"])["command"] == "gdl train"
