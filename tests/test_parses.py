"""The share of completions that are code: where statements end, what is accepted, what is written."""

import ast
import math
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import torch
from small_texts import MODELS, SmallText, build_text_model

from gdl.capabilities import Incapable
from gdl.data import Digits
from gdl.errors import GdlError
from gdl.evaluation import Host, parsed_completions, parses, python_statements
from gdl.evaluation.python_statements import problems, statement
from gdl.families.drawing import Drawing
from gdl.models import MADE, VAE
from gdl.runs.metrics import checked_metrics, name_of
from gdl.runs.report import number_texts

# ---- where a statement ends

ENDS = [  # prompt, the rest of the statement, what follows it
    ("def ", "f(): pass\n", "x = 1\n"),
    ("def ", "f():\n    pass\n", "\n\nclass A:\n"),
    ("def ", "f():\n    pass\n", "# a comment\n\n@a\n"),
    ("def ", "f():\n\n    # a\n# b\n    pass\n", "x"),
    ("def ", "f(\n    a,\nb\n):\n    pass\n", "x"),
    ("def ", "f(a=']',\nb='''\n)\n'''):\n  '''a\nb'''\n  return {\n}\n", "x"),
    ("def ", 'f():\n  """\nx\n\\"""\n"""\n', "x"),
    ("def ", "f(): # (\n    pass # '''\n", "x"),
    ("def ", "f(): return '(' \"'\" '\\'['\n", "x"),
    ("x", " = 1 + \\\n2\n", "y"),
    ("x", " = ')'\n", "]"),
    ("@", "a\n# b\n@b(\nc)\ndef f():\n    pass\n", "@c\n"),
    ("@", "a\nclass A:\n    pass\n", "class B: pass"),
    ("class A:\n    def ", "f(self):\n        pass\n", "    def g(self):\n"),
    ("class A:\n    def ", "f(self):\n        pass\n", "def g(self):\n"),
    ("\tdef ", "f(self):\n\t\tpass\n", "\tx"),
    ("    @", "a\n    def f(): pass\n", "x"),
    ("if ", "a:\n    b\nelif c:\n    d\nelse:\n    e\n", "if f:\n"),
    ("try", ":\n  a\nexcept:\n  b\nelse:\n  c\nfinally:\n  d\n", "e"),
    ("for ", "a in b: c\nelse: d\n", "elif"),
    ("def ", "f():\n    pass\n", "else:\n    pass\n"),
    ("import a\n\ndef ", "f(): pass\n", "x"),
    ("# doubles x\n", "def f(x):\n    return x\n", "x"),
    ("\n", "def f(x):\n    return x\n", "x"),
    ("def f():\n", "    pass\n", "x"),
    ("if a:\n    if b:\n        ", "c\n    else:\n        d\n", "    e\n"),
]


@pytest.mark.parametrize(("prompt", "rest", "follows"), ENDS)
def test_a_statement_ends_where_the_next_one_begins(prompt: str, rest: str, follows: str) -> None:
    assert statement(prompt + rest + follows, prompt) == (prompt + rest, True)
    assert statement(prompt + rest, prompt) == (prompt + rest, False)
    cut = prompt + rest + "  "
    assert statement(cut, prompt) == (prompt + rest, False)


@pytest.mark.parametrize(
    ("prompt", "rest", "follows"),
    [
        ("def ", "f(): )\n  (\n  )\n", "x"),
        ("    @", "a\n", "def f(): pass\n"),
        ("  if ", "a:\n\tb\n", "  c"),
    ],
)
def test_what_is_no_code_ends_too(prompt: str, rest: str, follows: str) -> None:
    assert statement(prompt + rest + follows, prompt) == (prompt + rest, True)


def test_these_statements_are_code() -> None:
    accepted = [p is None for p in problems([prompt + rest for prompt, rest, _ in ENDS])]
    assert accepted == [True] * len(ENDS)


def test_statements_of_real_code_are_those_of_the_parser() -> None:
    """Every statement of modules of the standard library, from its first characters on."""
    found = 0
    for name in ("ast", "dataclasses", "textwrap", "typing"):
        text = Path(sysconfig.get_path("stdlib"), f"{name}.py").read_text(encoding="utf-8")
        lines, nodes = text.splitlines(keepends=True), ast.parse(text).body
        starts = [
            min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) - 1
            for node in nodes
        ]
        for node, start, following in zip(nodes, starts, starts[1:], strict=False):
            if lines[following][:1].isspace():
                continue
            rest, own = "".join(lines[start:]), "".join(lines[start : node.end_lineno])
            for prompt in (rest[:1], rest[:4], lines[start].rstrip("\n")):
                assert statement(rest, prompt) == (own, True), (name, start)
            found += 1
    assert found > 200


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("def f():\n    a\n    retu", "def f():\n    a\n"),
        ("def f(a, ", "def f(a, "),
        ("def f(a,\n b", "def f(a,\n"),
        ("def f():\n  '''a\n\nb c\nd", "def f():\n  '''a\n\nb c\n"),
        ("def ", "def "),
    ],
)
def test_what_has_no_end_is_cut_behind_its_last_whole_line(text: str, kept: str) -> None:
    assert statement(text, "def ") == (kept, False)


# ---- what the parser says

DANGEROUS = [
    *("\0", "def f():\n\0", "(" * 5000, "[" * 300 + "]" * 300, "-" * 100_000 + "1"),
    *("x = " + "9" * 5000, "\ud800", "a" * 100_000 + "(", "not " * 30_000 + "x", "f'{" * 200),
    *(
        "lambda: " * 5000 + "x",
        "a." * 50_000 + "b",
        "\x1b[2J",
        "'" * 3,
        "\\",
        "\r\r",
        "x" + "()" * 9999,
    ),
]


def test_no_text_harms_the_one_who_asks(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "ran"
    runs = f"open({str(file)!r}, 'w')"
    warns = ["'\\d'\n", "1 is 1\n", "assert (1, 2)\n", "# coding: nothing\nx\n"]
    found = problems([*DANGEROUS, *warns[:3], runs, "def f(:", "  x = 1\n  def"])
    assert len(found) == len(DANGEROUS) + 6
    assert found[-6:-2] == [None] * 4
    assert found[-2] == "line 1: invalid syntax"
    assert str(found[-1]).startswith("line 2: ")
    assert not file.exists(), "nothing is run"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("fault", "says"),
    [("time.sleep(60)", "takes more than"), ("os._exit(1)", "ends the parser")],
)
def test_a_text_that_the_parser_does_not_survive_is_refused_alone(
    fault: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harmful = python_statements.PROGRAM.replace(
        "        ast.parse", f"        if text == 'bad': {fault}\n        ast.parse"
    )
    monkeypatch.setattr(python_statements, "PROGRAM", "import os, time" + harmful)
    found = problems(["x", "bad", "y =", "z"], seconds=2)
    assert [p is None for p in found] == [True, False, False, True]
    assert str(found[2]).startswith("line 1: ")
    assert says in str(found[1])


def test_indented_code_is_code() -> None:
    texts = [
        "  x = 1\n",
        "\n \n\tdef f():\n\t\tpass\n",
        "    # a\ndef f(): pass\n",
        "def f():\n  x\n y\n",
    ]
    assert [p is None for p in problems(texts)] == [True, True, True, False]


# ---- the measure

CODE = (
    "\ndef f():\n    pass\n\ndef g(:\n    pass\n\nx = 'def h(): pass'\ndef i(a):\n    return a\nend\n"
    * 3
)
WRITTEN = ["def a(): pass\nx", "def \x1b[2J", "def b(:\nx", "def c():\n    d\n    e"]


def data(length: int = 16) -> SmallText:
    return SmallText(CODE, length, "".join(sorted({*CODE})))


def model(**options: Any) -> Any:
    return build_text_model("made", 16, "".join(sorted({*CODE})), **options)


def test_the_share_is_that_of_the_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def drawn(*args: Any) -> Any:
        asked.update(zip(("n", "prompt", "length", "how"), args[2:], strict=True))
        return lambda: WRITTEN

    monkeypatch.setattr(parsed_completions, "_draws", drawn)
    host = Host(tmp_path)
    found = parses(model(), data(), n=4, length=40, temperature=0.8, top_k=5, seed=3, host=host)
    assert asked == {"n": 4, "prompt": "def ", "length": 40, "how": Drawing(3, 0.8, 5)}
    name = "parses-def-temperature-0.8-top_k-5"
    assert found[f"{name}/share"] == 0.5
    assert found[f"{name}/share_se"] == pytest.approx(math.sqrt(1 / 16 + 1 / 64) / (1 + 1 / 4))
    assert found[f"{name}/ended"] == 0.25, "an open bracket has no end"
    assert found[f"{name}/completions"] == 4
    real = {key: found[f"{name}/{key}"] for key in ("held_out", "statements", "held_out_ended")}
    assert real == {"held_out": 0.75, "statements": 4, "held_out_ended": 0.75}, (
        "spread over 9 places"
    )
    assert checked_metrics(dict(found), tmp_path) == found
    printed = number_texts(found)
    assert f"{name}: completions that parse 0.5 ± 0.22" in printed
    assert len(printed) == 6
    assert all(name_of(key) for key in found if not key.endswith("_se"))
    (path,) = host.written
    assert path == tmp_path / f"{name}.txt"
    text = path.read_text()
    assert text.startswith("Completions of 'def ', seed 3, temperature 0.8, top_k 5")
    assert "2 of 4 parse" in text
    assert "--- completion 1 of 4: parses ---\ndef a(): pass\n" in text
    assert "--- completion 3 of 4: does not parse, line 1: invalid syntax, no end" in text
    assert "4 of 4: parses, no end within the length ---\ndef c():\n    d\n" in text
    assert "--- held-out code 3 of 4: does not parse" in text
    assert "held-out code 1 of 4" not in text
    assert "\\x1b[2J" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("name", [n for n in MODELS if n != "made of three masks"])
def test_every_model_that_goes_on_is_measured_and_repeats_itself(name: str) -> None:
    own, characters = data(), "".join(sorted({*CODE}))
    m = build_text_model(name, 16, characters)
    found = parses(m, own, n=20, length=24, seed=1)
    assert found == parses(m, own, n=20, length=24, seed=1)
    assert found["parses-def/completions"] == 20
    assert found["parses-def/statements"] == 9
    assert parses(m, own, n=20, length=24, limit=3)["parses-def/statements"] == 3
    assert "parses-a/held_out" not in parses(m, own, prompt="a", n=3, length=9)


def test_a_model_that_knows_its_text_is_right() -> None:
    """A model that has learned one function by heart writes it."""
    text = "def f(x):\n    return x\n" * 12
    own = SmallText(text, 23, None)
    m = build_text_model("nade", 23, None, hidden=64).float().train()
    optimizer, x = torch.optim.Adam(m.parameters(), 0.02), own.images("train")[:1]
    for _ in range(60):
        optimizer.zero_grad()
        m.loss(x)["loss"].mean().backward()
        optimizer.step()
    found = parses(m.eval(), own, n=20, length=19)
    assert found["parses-def/share"] > 0.8
    assert found["parses-def/held_out"] == 1.0
    assert (
        parses(build_text_model("nade", 23, None), own, n=20, length=19)["parses-def/share"] == 0
    )


def test_what_cannot_be_measured_is_one_sentence(tmp_path: Path) -> None:
    digits = Digits(shape=(1, 8, 8), levels=17, data_dir=str(tmp_path))
    images, vae = MADE((1, 8, 8), 17, hidden=[4]), VAE((1, 1, 16), 256, 2)
    vae.config = {"alphabet": None}
    cases: list[tuple[str, Any, Any, dict[str, Any]]] = [
        (r"measure=parses asks for completions of a text", images, digits, {}),
        (r"measure=parses asks for completions of a text", model(), digits, {}),
        (r"measure=parses asks for a model that continues its beginning", vae, data(), {}),
        (
            r"measure\.language=cobol is not known: use python",
            model(),
            data(),
            {"language": "cobol"},
        ),
        (r"no measure\.split=all: use train", model(), data(), {"split": "all"}),
        (r"measure\.n must be a whole number", model(), data(), {"n": 0}),
        (r"measure\.length must be a whole number", model(), data(), {"length": 0}),
        (r"measure\.prompt is empty", model(), data(), {"prompt": " "}),
        (r"measure\.prompt: The text has characters outside", model(), data(), {"prompt": "é"}),
        (r"top_k=0 keeps no value", model(), data(), {"top_k": 0}),
        (r"top_p=2\.0 is no probability", model(), data(), {"top_p": 2.0}),
        (r"use order=raster", model(order="random"), data(), {}),
    ]
    for sentence, m, own, options in cases:
        with pytest.raises(GdlError, match=sentence) as error:
            parses(m, own, **options)
        assert "\n" not in str(error.value)
        assert str(error.value).endswith(".")
        assert isinstance(error.value, Incapable) == ("asks for" in sentence)
    assert sys.getrecursionlimit() > 100
