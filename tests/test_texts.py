"""Texts that a model writes: completions and samples, printed as they come, and as files."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import OmegaConf
from small_texts import CHARACTERS, MODELS, build_text_model

from gdl.capabilities import Incapable
from gdl.commands.overrides import with_value
from gdl.commands.quoting import with_quoted_paths
from gdl.data.alphabets import Alphabet
from gdl.errors import GdlError
from gdl.families import growing
from gdl.families.base import GenerativeModel
from gdl.models import MADE, VAE
from gdl.tasks import complete, drawn_texts, sample
from gdl.texts import Texts, save_texts, visible

X = torch.zeros(1, 1, 1, 12, dtype=torch.uint8)
WINDOW = 12
WRITERS = [name for name in MODELS if name != "made of three masks"]


def completions(model: GenerativeModel, **options: Any) -> list[str]:
    return asked(model, **options).texts


def asked(model: GenerativeModel, **options: Any) -> Texts:
    found = complete(model, X, **({"prompt": "ab", "completions": 3} | options))["completions"]
    assert isinstance(found, Texts)
    return found


def shown(model: GenerativeModel, **options: Any) -> list[str]:
    found = asked(model, **options)
    found.show()
    return found.texts


def done(texts: list[str], what: str = "sample") -> Texts:
    return Texts(what, len(texts), lambda show: texts)


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)


# ---- what is drawn


@pytest.mark.parametrize("name", WRITERS)
def test_a_draw_depends_on_its_seed_and_number_only(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_text_model(name, WINDOW)
    many = completions(model, completions=5)
    assert len(set(many)) > 1
    assert many[:2] == completions(model, completions=2)
    assert many != completions(model, completions=5, seed=1)
    monkeypatch.setattr(drawn_texts, "AT_ONCE", 2)
    assert many == completions(model, completions=5)
    for text in many:
        assert text.startswith("ab")
        assert len(text) == WINDOW


@pytest.mark.parametrize("name", WRITERS)
def test_a_shorter_text_is_the_beginning_of_a_longer_one(name: str) -> None:
    model = build_text_model(name, WINDOW)
    whole = completions(model)
    for length in (1, 4, 10):
        assert completions(model, length=length) == [text[: 2 + length] for text in whole]
    samples = sample(model, X, n=3)["samples"]
    short = sample(model, X, n=3, length=5)["samples"]
    assert isinstance(samples, Texts)
    assert isinstance(short, Texts)
    assert short.texts == [text[:5] for text in samples.texts]
    assert {len(text) for text in samples.texts} == {WINDOW}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("stop", ["a", "\n", "b ", "\xe9\xe9", "abc", "ca\n"])
def test_a_text_ends_in_front_of_its_first_stop(name: str, stop: str) -> None:
    model = build_text_model(name, WINDOW)
    whole = completions(model, completions=20)
    ended = completions(model, completions=20, stop=stop)
    assert ended == ["ab" + text[2:].partition(stop)[0] for text in whole]


def test_drawing_ends_with_the_last_text(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = build_text_model("nade", 64), []
    original = growing.continuations

    def watched(*args: Any, **options: Any) -> Any:
        for values in original(*args, **options):
            seen.append(values)
            yield values

    monkeypatch.setattr(growing, "continuations", watched)
    texts = completions(model, stop="a", completions=2)
    assert len(seen) == max(map(len, texts)) - 2 + 1 < 62, "no symbol is drawn that nobody sees"


@pytest.mark.parametrize("name", WRITERS)
def test_texts_go_on_beyond_the_window(name: str) -> None:
    model = build_text_model(name, WINDOW)
    long = completions(model, length=40)
    assert {len(text) for text in long} == {42}
    assert [text[:WINDOW] for text in long] == completions(model)
    assert len(set(long)) == 3


@torch.inference_mode()
def test_completions_follow_the_model() -> None:
    """Frequencies of the next symbol are p(x_2 | x_0, x_1)."""
    model = build_text_model("nade", 3)
    prompt = Alphabet(CHARACTERS).encode("ca")
    each = torch.cat([prompt.expand(6, 2), torch.arange(6, dtype=torch.uint8)[:, None]], 1)
    p = model.log_prob(each.view(6, 1, 1, 3)).softmax(0)
    texts = completions(model, prompt="ca", length=1, completions=4000)
    drawn = Alphabet(CHARACTERS).encode("".join(text[2] for text in texts)).long()
    found = drawn.bincount(minlength=6) / len(drawn)
    assert (found - p).abs().max() < 0.035


def test_models_of_whole_windows_write_samples(capsys: pytest.CaptureFixture[str]) -> None:
    made = {"order": "random"}, {"num_masks": 3}
    models = [build_text_model("made", WINDOW, **options) for options in made]
    vae = VAE((1, 1, WINDOW), len(CHARACTERS), 2).eval()
    vae.config = {"alphabet": CHARACTERS}
    for model in [*models, vae]:
        found = sample(model, X, n=3, seed=1)["samples"]
        assert isinstance(found, Texts)
        drawn = model.sample(3, seed=1, mean=False).long().flatten(1)  # type: ignore[operator]
        assert found.texts == [Alphabet(CHARACTERS).decode(row) for row in drawn]
        found.show()
        assert visible(found.texts[2]) in capsys.readouterr().out
        cut = sample(model, X, n=3, seed=1, length=5, stop="a")["samples"]
        assert isinstance(cut, Texts)
        assert cut.texts == [text[:5].partition("a")[0] for text in found.texts]
        with pytest.raises(GdlError, match="draws whole windows only: use at most 12"):
            sample(model, X, length=13)


# ---- what is printed, and written


@pytest.mark.parametrize("characters", [CHARACTERS, None])
@pytest.mark.parametrize("name", ["made", "transformer"])
@pytest.mark.parametrize("stop", [None, "a", "\n", "\xe9", "b a"])
def test_a_terminal_shows_the_texts_that_are_returned(
    characters: str | None,
    name: str,
    stop: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = build_text_model(name, 40, characters)
    prompt = "ab" if characters else "\xe9("
    piped = shown(model, stop=stop, prompt=prompt)
    printed = capsys.readouterr().out
    for k, text in enumerate(piped, 1):
        assert f"--- completion {k} of 3 ---\n{visible(text)}\n" in printed
    on_a_terminal(monkeypatch)
    assert shown(model, stop=stop, prompt=prompt) == piped
    assert capsys.readouterr().out == printed


def test_characters_are_printed_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pieces = build_text_model("transformer", 40), []
    on_a_terminal(monkeypatch)
    monkeypatch.setattr("builtins.print", lambda text="", **options: pieces.append(text))
    (text,) = shown(model, completions=1)
    assert "".join(pieces) == text
    assert len(pieces) > 5


def test_nothing_that_a_terminal_obeys_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build_text_model("made", 40, None)
    for terminal in (False, True):
        if terminal:
            on_a_terminal(monkeypatch)
        texts = shown(model, completions=20, prompt="\x1b[2J")
        assert any("\x1b" in text or "\r" in text for text in texts)
        assert all(c in "\n\t" or c.isprintable() for c in capsys.readouterr().out)


def test_files_have_the_texts_as_they_are(tmp_path: Path) -> None:
    texts = done(["a\r\n\x1b\xe9", "", "c\n"])
    paths = save_texts(texts, tmp_path / "new", "samples", files=True)
    assert [path.name for path in paths] == ["samples.txt", "0000.txt", "0001.txt", "0002.txt"]
    for path, text in zip(paths[1:], texts.texts, strict=True):
        assert path.read_bytes() == text.encode()
    whole = paths[0].read_bytes().decode()
    assert whole.count("--- sample ") == 3
    assert "--- sample 1 of 3 ---\na\r\n\x1b\xe9\n--- sample 2" in whole
    (path,) = save_texts(done(["one"]), tmp_path, "samples")
    assert path.read_text() == "one"


# ---- what is typed

TYPED = (
    *("def main(", "a,b", " x ", "\n\n", 'it\'s "q"', "a\\", "1", "true", "[", "{a: 1}", "${x}"),
    *(
        "'a' + 'b'",
        "\xe9",
        "a=b",
        "\\n",
        "\t",
        "\\'",
        "x\\${a}",
        "${",
        "${x} $HOME ${env:HOME}",
        "\\\\${a:${b}}'",
        '"""doc"""',
        "*",
        "~",
        "()",
    ),
)


@pytest.mark.parametrize("key", ["task.prompt", "task.stop"])
@pytest.mark.parametrize("text", TYPED)
def test_a_text_is_taken_as_it_is_typed(key: str, text: str) -> None:
    (arg,) = with_quoted_paths([with_value(f"{key}={text}")])
    override = OverridesParser.create().parse_override(arg)
    cfg = OmegaConf.create({"task": {"_target_": "builtins.dict", "_partial_": True}})
    OmegaConf.update(cfg, key, override.value())
    # as commands do
    assert instantiate(cfg.task, _convert_="all")() == {key.removeprefix("task."): text}


def test_a_text_that_is_quoted_for_hydra_already_stays() -> None:
    assert with_quoted_paths(["task.prompt='def main('"]) == ["task.prompt='def main('"]
    assert with_quoted_paths(["task.prompt=null"]) == ["task.prompt=null"]
    with pytest.raises(GdlError, match=r"task.prompt= has no value"):
        with_value("task.prompt=")


# ---- what is refused


def test_what_cannot_be_continued_is_one_sentence() -> None:
    model = build_text_model("made", WINDOW)
    refused: dict[str, dict[str, Any]] = {
        "task.prompt has 12 characters, which fill the model's window of 12": {"prompt": "a" * 12},
        "task.prompt has 13 characters": {"prompt": "a" * 13, "length": 3},
        "continues task.prompt, which is empty": {"prompt": ""},
        "task.length must be a whole number of at least 1": {"length": 0},
        r"task.prompt: The text has characters outside of the alphabet of 6: 'x' 'ä'": {
            "prompt": "xaxä"
        },
        "task.stop: The text has characters outside": {"stop": "z"},
        "temperature": {"temperature": -1.0},
    }
    for sentence, options in refused.items():
        with pytest.raises(GdlError, match=sentence) as error:
            completions(model, **options)
        assert "\n" not in str(error.value)
        assert str(error.value).endswith(".")
    with pytest.raises(GdlError, match=r"task.prompt, which is empty"):
        complete(model, X)
    with pytest.raises(GdlError, match="this model has another: use order=raster"):
        asked(build_text_model("made", WINDOW, order="random"))
    with pytest.raises(GdlError, match=r"mixture over masks.*model\.num_masks=1"):
        asked(build_text_model("made of three masks", WINDOW))
    assert len(completions(model, prompt="a" * 12, length=3)[0]) == 15
    model.config = {"alphabet": CHARACTERS + "\u1234"}
    with pytest.raises(GdlError, match=r"has 7 symbols, and its model 6 levels"):
        completions(model)


def test_options_of_texts_are_refused_for_images() -> None:
    model = MADE((1, 2, 2), 2, hidden=[4])
    x = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    for options in ({"prompt": "a"}, {"length": 3}, {"stop": "a"}):
        with pytest.raises(GdlError, match=rf"task.{next(iter(options))} is for models of text"):
            complete(model, x, **options)
    with pytest.raises(GdlError, match=r"task.stop is for models of text"):
        sample(model, x, stop="a")
    assert sample(model, x)["samples"].count == 64  # type: ignore[union-attr]


def test_a_model_that_continues_nothing_names_those_that_do() -> None:
    model = VAE((1, 1, 8), 256, 2)
    model.config = {"alphabet": None}
    with pytest.raises(Incapable, match=r"which VAE lacks: use a run of model=.*transformer"):
        completions(model)
