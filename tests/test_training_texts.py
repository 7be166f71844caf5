"""Completions of prompts during a training: files, W&B's table, TensorBoard, and after a kill."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from runs_in_process import assert_equal, numbers, rows, train, train_and_kill, weights
from small_texts import CHARACTERS, build_text_model, some_text

from gdl.data.alphabets import Alphabet
from gdl.data.pairs import Pairs
from gdl.errors import GdlError
from gdl.models import MADE
from gdl.runs.checkpoints import AtomicCheckpointIO
from gdl.tracking.wandb_logger import close, open_wandb_logger
from gdl.training import completions as texts
from gdl.training.completions import as_markdown, check_prompts, own_prompts, shown, table_rows

TEXT = [
    *("model=made", "model.hidden=[8]", "data=text", "data.length=8", "data.alphabet=characters"),
    *("data.val_fraction=0.2", "data.test_fraction=0.2", "callbacks.images.every_n_epochs=1"),
]


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    (tmp_path / "own.txt").write_text(some_text(400), encoding="utf-8")
    return [*TEXT, f"data.file={tmp_path / 'own.txt'}"]


def table(folder: Path) -> list[list[Any]]:
    """Return the table in the last checkpoint."""
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return content["callbacks"]["ImageGrids"]["completions"]


def test_drawing_changes_nothing_of_the_training(options: list[str], tmp_path: Path) -> None:
    train(tmp_path / "with", *options, "callbacks.images.prompts=[ab,'c\n']")
    train(tmp_path / "without", *options, "callbacks.images.prompts=[]")
    train(tmp_path / "neither", *options, "callbacks.images=null")
    for other in ("without", "neither"):
        assert rows(tmp_path / "with") == rows(tmp_path / other)
        for name in ("best", "last"):
            assert_equal(weights(tmp_path / "with", name), weights(tmp_path / other, name))
    assert numbers(tmp_path / "with") == numbers(tmp_path / "without")
    found = table(tmp_path / "with")
    assert [row[:4] for row in found] == [
        [epoch, step, prompt, k]
        for epoch, step in zip((1, 2), sorted({row[1] for row in found}), strict=True)
        for prompt in ("ab", "c\n")
        for k in (1, 2)
    ]
    assert {len(row[2] + row[4]) for row in found} == {8}, "up to the end of the window"
    images = tmp_path / "with" / "images"
    last = (images / "completions_epoch0002.txt").read_bytes().decode()
    for k, row in enumerate(found[4:], 1):
        assert f"--- completion {k} of 4 ---\n{row[2]}{row[4]}" in last
    assert not list((tmp_path / "without" / "images").glob("completions*"))


def test_a_run_that_was_killed_has_the_same_table(options: list[str], tmp_path: Path) -> None:
    more = ["trainer.max_epochs=3"]
    train(tmp_path / "whole", *options, *more)
    whole = table(tmp_path / "whole")
    assert [row[0] for row in whole] == [1] * 6 + [2] * 6 + [3] * 6, "three prompts, twice each"
    with pytest.MonkeyPatch.context() as patch:
        saved, original = [], AtomicCheckpointIO.save_checkpoint

        def save(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            saved.append(args)

        patch.setattr(AtomicCheckpointIO, "save_checkpoint", save)
        assert train_and_kill(tmp_path / "killed", 130, *options, *more) is not None
        assert saved, "it was killed behind a checkpoint"
    train(tmp_path / "killed", *options, *more)
    assert table(tmp_path / "killed") == whole


def test_wandb_keeps_one_table_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read back from what an offline run leaves: all rows so far are in the latest table."""
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    log = open_wandb_logger(str(tmp_path), mode="offline")
    assert log is not None
    kept = [[k, 3 * k, "a\x1b[2J", 1, "<b>\n\0\x9b"] for k in (1, 2, 3)]
    for k in (1, 2, 3):
        log.log_table("texts/completions", texts.COLUMNS, shown(kept[:k]))
    close([log])
    files = tmp_path.glob("wandb/offline-run-*/files/media/table/texts/completions_*.table.json")
    found = sorted((json.loads(file.read_text()) for file in files), key=lambda t: len(t["data"]))
    assert [len(t["data"]) for t in found] == [1, 2, 3]
    for content in found:
        assert content["columns"] == ["epoch", "step", "prompt", "draw", "completion"]
    assert found[2]["data"][1] == [2, 6, "a\\x1b[2J", 1, "<b>\n\\x00\\x9b"]


def test_tensorboard_gets_texts_in_which_nothing_is_interpreted(
    options: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugin_util import markdown_to_safe_html

    train(tmp_path / "run", *options, "logger=tensorboard", "callbacks.images.prompts=[ab]")
    files = sorted((tmp_path / "run").glob("tensorboard/**/events.out.*"))
    read = [EventAccumulator(str(file)).Reload() for file in files]
    (events,) = [e for e in read if e.Tags()["tensors"]]
    logged = events.Tensors("texts/completions/text_summary")
    assert len(logged) == 2
    assert b"--- draw 2 ---\n    ab" in logged[1].tensor_proto.string_val[0]
    harmful = (
        "<script>x</script>\n# a\n\n```\n*b*\n</code>[c](d)\x1b\r\n\x0b<img src=e>\n\n---\n<a>"
    )
    html = markdown_to_safe_html(as_markdown([[1, 2, "", 1, harmful]]))
    assert html.count("<") == 4, "one block of code, and no other tag"
    assert html.startswith("<pre><code>")
    assert "\x1b" not in html


def test_prompts_that_are_not_given_are_beginnings_of_windows() -> None:
    symbols = Alphabet(CHARACTERS)
    windows = symbols.encode(some_text(80)).view(10, 1, 1, 8)
    model = build_text_model("nade", 8)
    expected = [symbols.decode(windows[k, 0, 0, :2]) for k in (0, 4, 8)]
    assert own_prompts(model, windows) == expected
    assert len(own_prompts(model, windows[:1])) == 1
    cut = Alphabet(None).encode("é" * 8).view(1, 1, 1, 16)[..., 1:13]
    assert own_prompts(build_text_model("nade", 12, None), cut) == ["é"]
    assert own_prompts(build_text_model("made of three masks", 8), windows) == []
    assert own_prompts(build_text_model("nade", 3), windows[..., :3]) == []


def test_prompts_that_cannot_be_used_are_one_sentence(options: list[str], tmp_path: Path) -> None:
    model, images = build_text_model("nade", 8), MADE((1, 2, 2), 2, hidden=[4])
    for m, prompts, sentence in (
        (model, ["a", "x"], r"prompts: The text has characters outside of the alphabet of 6: 'x'"),
        (model, ["a" * 8], r"prompts has a prompt of 8 characters: give from 1 to 7"),
        (model, [""], r"prompts has a prompt of 0 characters"),
        (images, ["a"], r"prompts is for models that complete texts, and this MADE does not"),
        (
            build_text_model("made of three masks", 8),
            ["a"],
            r"prompts is for models that complete",
        ),
    ):
        with pytest.raises(GdlError, match=rf"^callbacks\.images\.{sentence}"):
            check_prompts(m, prompts)
        check_prompts(m, [])
    with pytest.raises(GdlError, match=r"callbacks\.images\.prompts: The text has characters"):
        train(tmp_path / "run", *options, "callbacks.images.prompts=[xyz]")


def test_a_table_of_somebody_elses_checkpoint_is_rows_or_nothing() -> None:
    row = [1, 2, "a", 1, "b"]
    for wrong in (None, 3, "text", {"a": 1}, [[1, 2]], [[*row[:4], Mock()]], [[True, *row[1:]]]):
        assert table_rows(wrong) == []
    assert table_rows([row, None, tuple(row)]) == [row, row]


PAIRS = [(f"{a}{b}{a}", f"{b} {a}") for a in "abcdefgh" for b in "abcdefgh"]


@pytest.mark.parametrize("prompts", [None, ["ab", "dea"]])
def test_prompts_of_pairs_are_sources_and_completions_targets(
    prompts: list[str] | None, tmp_path: Path
) -> None:
    # several targets of each source, which is a prompt once
    lines = [f"{s}\t{t}{more}" for s, t in PAIRS for more in ("", " a")]
    (tmp_path / "own.tsv").write_text("\n".join(lines), encoding="utf-8")
    options = ["data=pairs", f"data.file={tmp_path / 'own.tsv'}", "data.val_fraction=0.2"]
    options += ["model=made", "model.hidden=[8]", "callbacks.images.every_n_epochs=1"]
    if prompts:
        options.append(f"callbacks.images.prompts=[{','.join(prompts)}]")
    train(tmp_path / "run", *options, "trainer.max_epochs=1")
    data = Pairs((1, 1, 10), file=tmp_path / "own.tsv", val_fraction=0.2)
    data.setup()
    held_out = {source for source, _ in data.pairs("val")}
    found = table(tmp_path / "run")
    sources = [row[2] for row in found[::2]]
    assert sources == prompts if prompts else len(held_out & {*sources}) == len(sources) == 3
    assert all("\n" not in row[4] and len(f"{row[2]}\t{row[4]}") <= 10 for row in found)
    content = (tmp_path / "run" / "images" / "completions_epoch0001.txt").read_text()
    wanted = [f"--- completion {k} of {len(found)} ---" for k in range(1, len(found) + 1)]
    wanted = [x for w, row in zip(wanted, found, strict=True) for x in (w, " -> ".join(row[2::2]))]
    assert content.split("\n") == wanted
    assert f"    {sources[0]} -> {found[0][4]}" in as_markdown(found, " -> ")


def test_prompts_of_pairs_that_are_no_sources_are_one_sentence() -> None:
    model = MADE((1, 1, 6), 4, hidden=[4], ends=[0, 1])
    model.config = {"alphabet": "\t\nab"}
    for prompt, sentence in (
        ("", r"has a prompt of 0 characters: give from 1 to 4"),
        ("a\tb", r"is the source of a pair, one line without a tab"),
        ("a\n", r"is the source of a pair, one line without a tab"),
        ("x", r": The text has characters outside of the alphabet of 4: 'x'"),
        (
            "abaab",
            r"takes 6 characters with its tab, and the model's window of 6 is for the target",
        ),
    ):
        with pytest.raises(GdlError, match=rf"^callbacks\.images\.prompts ?{sentence}"):
            check_prompts(model, [prompt])
    check_prompts(model, ["abaa"])
