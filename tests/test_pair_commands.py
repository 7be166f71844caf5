"""The commands on a model of pairs of texts: draws of targets, numbers, and what is refused."""

import itertools
from pathlib import Path

import hydra
import numpy
import pytest
import torch
from omegaconf import OmegaConf
from untrained_texts import Call, save_untrained, typist

from gdl.commands.compress import compress
from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.evaluate import evaluate
from gdl.commands.sample import sample
from gdl.errors import GdlError
from gdl.runs.checkpoints import load_run_data

NUMBERS = ("one", "two", "three", "four", "five", "six")
PAIRS = [
    (f"{a} {b}", f"{i + 1}{k + 1}") for i, a in enumerate(NUMBERS) for k, b in enumerate(NUMBERS)
]
COMMANDS = {"sample": sample, "evaluate": evaluate, "compress": compress}


@pytest.fixture(scope="module", params=["characters", "bytes"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of an untrained model of a file of pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "own.tsv").write_text("\n".join("\t".join(pair) for pair in PAIRS))
    args = ["model=nade", "model.hidden=8", "data=pairs", f"data.file={folder / 'own.tsv'}"]
    args += ["data.length=20", f"data.alphabet={request.param}", "data.test_fraction=0.2"]
    save_untrained(folder / "model.ckpt", *args)
    return folder / "model.ckpt"


@pytest.fixture
def call(
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Call:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return typist(COMMANDS, [f"run={checkpoint}"], monkeypatch, capsys)


def test_a_prompt_is_a_source_and_a_draw_ends_with_its_line(call: Call, tmp_path: Path) -> None:
    options = ["task=complete", "out=texts", "task.prompt=two six", "task.completions=3"]
    code, out, _ = call("sample", *options, "task.files=true")
    assert code == 0
    assert "--- completion 3 of 3 ---\ntwo six -> " in out
    files = sorted((tmp_path / "texts" / "completions").glob("*.txt"))
    targets = [f.read_text().removeprefix("two six -> ") for f in files]
    assert len(targets) == 3
    assert all(len(t) <= 12 and "\n" not in t for t in targets)
    _, other, _ = call("sample", *options, "task.seed=1")
    assert other != out
    _, cut, _ = call("sample", *options[:3], "task.completions=1", "task.length=1")
    assert len(cut.partition("\n")[0]) <= len("two six -> ") + 1


def test_samples_are_test_sources_with_drawn_targets(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("sample", "out=texts", "task.n=4")
    assert code == 0
    rows = (tmp_path / "texts" / "samples.txt").read_bytes().split(b"\n")
    assert len(rows) == 4
    assert {row.partition(b" -> ")[0].decode() for row in rows} <= {source for source, _ in PAIRS}
    _, again, _ = call("sample", "out=texts", "task.n=2")
    assert again.splitlines()[1:3] == out.splitlines()[1:3]


def test_the_numbers_are_bits_of_a_target_symbol(call: Call) -> None:
    code, out, _ = call("evaluate", "measure=bits")
    assert code == 0
    assert "test bits/target symbol" in out
    assert "given-source" in out
    assert "symbols of a target with its end 3" in out
    assert "bits/dim" not in out


REFUSED = {
    "tab": ("sample", ["task=complete", "task.prompt=a\tb"], "one line without a tab"),
    "new line": ("sample", ["task=complete", "task.prompt=a\nb"], "one line without a tab"),
    "no prompt": (
        "sample",
        ["task=complete"],
        "which is empty: give one, as task.prompt='3 March",
    ),
    "long": ("sample", ["task=complete", f"task.prompt={'one ' * 5}"], "is for the target, too"),
    "length": ("sample", ["task=complete", "task.prompt=one", "task.length=17"], "use 16 or less"),
    "stop": ("sample", ["task=complete", "task.prompt=one", "task.stop=1"], "leave it out"),
    "stop of samples": ("sample", ["task.stop=1"], "leave it out"),
    "length of samples": ("sample", ["task.length=3"], "leave it out"),
    "stream": ("evaluate", ["measure=stream"], "measure=stream asks for a text"),
    "codecs": ("evaluate", ["measure=codecs"], "codes of whole windows"),
    "conditional": ("evaluate", ["measure=conditional"], "probability of any part of a window"),
    "ood": ("evaluate", ["measure=ood"], "a density of whole windows"),
    "iwae": ("evaluate", ["measure=iwae"], "measure=iwae asks for importance weights"),
    "compress": ("compress", ["out=x.gdl"], "codes of whole windows"),
}


@pytest.mark.parametrize(
    ("checkpoint", "case"),
    zip(itertools.cycle(["characters", "bytes"]), REFUSED),
    indirect=["checkpoint"],
)
def test_what_has_no_meaning_is_refused_in_one_sentence(call: Call, case: str) -> None:
    command, options, sentence = REFUSED[case]
    code, _, complaint = call(command, *options)
    assert code == 1
    assert sentence in complaint
    assert complaint.count("error: ") == 1
    assert "defect" not in complaint


def test_characters_outside_of_the_alphabet_are_named(
    call: Call, request: pytest.FixtureRequest
) -> None:
    code, _, complaint = call("sample", "task=complete", "task.prompt=z€")
    if "bytes" in request.node.name:
        assert code == 0
    else:
        assert code == 1
        assert "'z' '€'" in complaint


@pytest.mark.parametrize("key", ["data/own.tsv", "./own.tsv", "../own.tsv"])
def test_a_relative_file_is_found_from_any_folder(
    checkpoint: Path, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is relative to the folder of the training, which is above the run."""
    start, elsewhere = tmp_path / "work" / "project", tmp_path / "elsewhere"
    run, file = start / "outputs" / "run" / "checkpoints", start / key
    for folder in (run, elsewhere, file.parent):
        folder.mkdir(parents=True, exist_ok=True)
    content = torch.load(checkpoint, weights_only=True)
    file.resolve().write_bytes(Path(content["gdl_config"]["data"]["file"]).read_bytes())
    content["gdl_config"]["data"]["file"] = key
    torch.save(content, run / "best.ckpt")
    monkeypatch.chdir(elsewhere)
    (elsewhere / key).parent.mkdir(exist_ok=True)
    (elsewhere / key).write_text("another\tfile\n")
    data = load_run_data(str(run / "best.ckpt"))
    data.setup()
    assert {*data.pairs("test")} <= {*PAIRS}  # pyright: ignore[reportAttributeAccessIssue]
    file.unlink()
    (elsewhere / key).unlink(missing_ok=True)
    with pytest.raises(GdlError, match=r"was trained on \S+own.tsv, which is not here: copy or"):
        load_run_data(str(run / "best.ckpt"))


@pytest.mark.parametrize(
    "options",
    [
        ["data=pairs", "data.file=own.tsv", "model=made"],
        ["data=table", "data.file=own.csv", "model=realnvp"],
        ["data=arrays", "data.file=own.npz", "model=made"],
        ["data=text", "data.file=own.tsv", "data.alphabet=characters", "model=made"],
    ],
    ids=lambda options: options[0],
)
def test_what_is_read_from_a_file_is_resolved_for_a_run_that_goes_on(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.tsv").write_text("\n".join("\t".join(pair) for pair in PAIRS))
    Path("own.csv").write_text("a,b\n" + "\n".join(f"{k}.5,{k * k}.25" for k in range(40)))
    numpy.savez("own.npz", images=numpy.zeros((20, 4, 4), numpy.uint8))
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", options)
    keys = ("data", "model")
    wanted = {key: OmegaConf.to_container(cfg[key], resolve=True) for key in keys}
    part = OmegaConf.masked_copy(cfg, [*keys, "seed", "data_dir"])
    OmegaConf.resolve(part)
    assert {key: OmegaConf.to_container(part[key]) for key in keys} == wanted
