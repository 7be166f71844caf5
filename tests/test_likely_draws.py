"""task.top_k and task.top_p: draws from the most likely values only, of pictures and of texts."""

import sys
from typing import Any

import pytest
import torch
from small_models import build_small
from small_texts import CHARACTERS, MODELS, build_text_model
from test_autoregressive import MODELS as PIXELS
from test_autoregressive import build

from gdl.capabilities import Incapable
from gdl.commands.entry import run_command
from gdl.commands.help import print_help
from gdl.data.alphabets import Alphabet
from gdl.errors import GdlError
from gdl.models import VAE
from gdl.pictures import Picture
from gdl.tasks import complete, sample
from gdl.texts import Texts

X = torch.zeros(2, 1, 1, 8, dtype=torch.uint8)
CHOICES = (
    {"top_k": 1},
    {"top_k": 2},
    {"top_p": 0.5},
    {"top_k": 3, "top_p": 0.7, "temperature": 2.0},
)
each_choice = pytest.mark.parametrize("kept", CHOICES, ids=str)


def texts(model: Any, task: str = "sample", **options: Any) -> list[str]:
    more = {"n": 5} if task == "sample" else {"completions": 5, "prompt": "ab"}
    (found,) = (sample if task == "sample" else complete)(model, X, **more, **options).values()
    assert isinstance(found, Texts)
    return found.texts


def images(found: Any) -> torch.Tensor:
    (picture,) = found.values()
    assert isinstance(picture, Picture)
    return picture.images


@each_choice
@pytest.mark.parametrize("name", PIXELS)
def test_pictures_are_the_draws_that_the_model_makes(name: str, kept: dict[str, Any]) -> None:
    model = build(name, (1, 2, 2), 4)
    shown = images(sample(model, X, n=4, seed=3, **kept)).flatten(0, 1)
    assert torch.equal(shown, model.sample(4, seed=3, **kept))
    x = torch.arange(8, dtype=torch.uint8).view(2, 1, 2, 2) % 4
    row = images(complete(model, x, completions=3, seed=3, **kept))
    given, known = x.repeat_interleave(3, 0), torch.tensor([True, False])[:, None].expand(1, 2, 2)
    drawn = model.sample_given(6, given, known, seed=3, **kept)
    assert torch.equal(row[:, 1:-1].flatten(0, 1), drawn.float())


@each_choice
@pytest.mark.parametrize("name", MODELS)
def test_texts_are_the_draws_that_the_model_makes(name: str, kept: dict[str, Any]) -> None:
    model: Any = build_text_model(name, 8)
    drawn = model.sample(5, seed=2, **kept).long().flatten(1)
    assert texts(model, seed=2, **kept) == [Alphabet(CHARACTERS).decode(row) for row in drawn]
    if name != "made of three masks":
        continued = texts(model, "complete", seed=2, **kept)
        assert continued[:2] == texts(model, "complete", seed=2, **kept)[:2]
        given = Alphabet(CHARACTERS).encode("ab" + 6 * "a").view(1, 1, 8)
        known = torch.arange(8).view(1, 1, 8) < 2
        rows = model.sample_given(5, given, known, seed=2, **kept).long().flatten(1)
        assert continued == [Alphabet(CHARACTERS).decode(row) for row in rows]


@pytest.mark.parametrize("name", ["nade", "transformer", "made"])
def test_no_symbol_is_drawn_but_the_likely_ones(name: str) -> None:
    """The 2 most likely symbols, or those of probability 0.6, also behind the window."""
    model: Any = build_text_model(name, 8)
    given = Alphabet(CHARACTERS).encode("ab").repeat(6, 1)
    each = torch.cat([given, torch.arange(6, dtype=torch.uint8)[:, None]], 1)
    whole = torch.nn.functional.pad(each, (0, 5)).view(6, 1, 1, 8)
    known = torch.arange(8).view(1, 1, 8) != 2
    with torch.inference_mode():
        p = model.position_log_probs(whole)[:, 2].exp()
    assert known.sum() == 7
    ordered = p.argsort(descending=True).tolist()
    few = next(k for k in range(1, 7) if p[ordered[:k]].sum() >= 0.6)
    for kept, count in (({"top_k": 2}, 2), ({"top_p": 0.6}, few)):
        drawn = complete(model, X, completions=300, prompt="ab", length=1, **kept)["completions"]
        assert isinstance(drawn, Texts)
        assert {CHARACTERS[i] for i in ordered[:count]} >= {text[2] for text in drawn.texts}
    greedy = texts(model, "complete", length=20, top_k=1)
    assert greedy == texts(model, "complete", length=20, temperature=0.0)
    assert len(set(greedy)) == 1


@each_choice
def test_a_terminal_shows_the_same_texts(
    kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build_text_model("transformer", 8)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    found = sample(model, X, n=3, length=12, **kept)["samples"]
    assert isinstance(found, Texts)
    found.show()
    assert found.texts == texts(model, length=12, **kept)[:3]
    capsys.readouterr()


@pytest.mark.parametrize("option", [{"top_k": 3}, {"top_p": 0.9}], ids=str)
@pytest.mark.parametrize(
    ("name", "shape"),
    [("VAE", (1, 4, 4)), ("Autoencoder", (1, 4, 4)), ("NICE", (1, 4, 4)), ("Glow", (1, 4, 4))],
)
def test_models_that_do_not_draw_value_by_value_say_so(
    name: str, shape: tuple[int, ...], option: dict[str, Any]
) -> None:
    levels = 4
    model = build_small(name, shape, levels).eval()
    (key,) = option
    says = rf"task\.{key} asks for draws value by value, which {name} lacks: use a run of .*made"
    with pytest.raises(Incapable, match=says) as error:
        sample(model, X, n=2, **option)
    assert "\n" not in str(error.value)
    if name != "Autoencoder":
        with pytest.raises(Incapable, match=says):
            complete(model, torch.zeros(1, *shape, dtype=torch.uint8), **option)
    if name in ("VAE", "Autoencoder"):  # a flow starts from data
        sample(model, X, n=2, top_k=None, top_p=1.0)


def test_a_text_of_a_vae_says_so_too() -> None:
    model = VAE((1, 1, 8), len(CHARACTERS), 2).eval()
    model.config = {"alphabet": CHARACTERS}
    with pytest.raises(Incapable, match=r"task\.top_k asks for draws value by value"):
        texts(model, top_k=3)


@pytest.mark.parametrize("task", ["sample", "complete"])
@pytest.mark.parametrize(
    "value", ["top_k=0", "top_k=-1", "top_k=2.5", "top_k=few", "top_p=0", "top_p=1.01", "top_p=-1"]
)
def test_what_is_out_of_range_is_one_sentence(
    task: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key, _, number = value.partition("=")
    monkeypatch.setattr(sys, "argv", ["gdl sample", f"task={task}", f"task.{value}"])
    with pytest.raises(SystemExit):
        run_command(lambda cfg: pytest.fail("it was taken"), "sample")
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert complaint.startswith(f"error: task.{value} does not fit: give a ")
    if number.lstrip("-").replace(".", "").isdigit() and value != "top_k=2.5":
        model = build_text_model("made", 8)
        option = {key: float(number) if key == "top_p" else int(number)}
        with pytest.raises(GdlError, match=rf"^task\.{key}={option[key]} .*: use .*\.$"):
            texts(model, task, **option)


@pytest.mark.parametrize("task", ["sample", "complete", None])
def test_help_shows_the_keys_of_what_is_chosen(
    task: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    print_help("sample", [], [] if task is None else [f"task={task}", "task.n=3"])
    shown = capsys.readouterr().out
    assert f"Keys of task={task or 'sample'} (" in shown
    for key in ("seed: 0", "temperature: 1.0", "top_k: null", "top_p: 1.0", "stop: null"):
        assert f"\n  {key}" in shown
    assert "_target_" not in shown
    assert ("prompt: null" in shown) == (task == "complete")
