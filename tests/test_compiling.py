"""An error of the compiler is a sentence that says what to do, and no defect of gdl."""

import copy
import functools
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch

from gdl import stopping
from gdl.commands import entry
from gdl.commands.explain import explain
from gdl.models import Transformer

CACHE = "/tmp/its cache"
CUT = f"{CACHE}/ab/cab.main.so: file too short"


def like(module: str, name: str, message: str, inner: Exception | None = None) -> Exception:
    """Return an error as torch raises it, without its compiler, whose import takes seconds."""
    own = {"__module__": module} | ({} if inner is None else {"inner_exception": inner})
    return type(name, (RuntimeError,), own)(message)


ERRORS = {
    "ImportError: ": like("torch._inductor.exc", "InductorError", "", ImportError(CUT)),
    "ImportError: /tmp": ImportError(CUT),  # of a file that is loaded later
    "OSError: [Errno 28] No": like("torch._inductor.exc", "InductorError", "", OSError(28, "No")),
    "CppCompileError: C++ error Output:": like(
        "torch._inductor.exc", "CppCompileError", "C++ error\n\nOutput:\nkilled\n"
    ),
    "x.cpp:7: fatal error: no omp.h": like(
        "torch._inductor.exc", "CppCompileError", "C++ error\n\nx.cpp:7: fatal error: no omp.h\n"
    ),
    "TorchRuntimeError: shapes": like("torch._dynamo.exc", "TorchRuntimeError", "shapes"),
}


@pytest.mark.parametrize("reason", ERRORS)
def test_an_error_of_the_compiler_is_a_sentence(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", CACHE)
    said = explain(ERRORS[reason], "train") or ""
    assert said.startswith(f"The networks could not be compiled ({reason}")
    assert "set compile=false, which trains more slowly" in said
    assert f"remove the folder '{CACHE}' instead" in said
    assert "takes minutes" in said
    assert "\n" not in said
    outer = RuntimeError("in a step")
    outer.__cause__ = ERRORS[reason]
    assert explain(outer, "train") == said


def test_other_errors_are_none_of_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    for error in (ImportError("x.so: file too short"), RuntimeError("shapes"), ValueError("1")):
        assert explain(error, "train") is None


def test_a_compiler_that_a_signal_ended_is_no_error_of_the_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C in a terminal is told to the training, which ends its step first, and to g++."""
    failed, other = ERRORS["CppCompileError: C++ error Output:"], RuntimeError("shapes")
    for error in (failed, other):  # nobody was told to stop
        with pytest.raises(type(error)), entry._compiler_told_to_stop():
            raise error
    monkeypatch.setattr(stopping._state, "signum", signal.SIGINT)
    with pytest.raises(stopping.Interrupted) as found, entry._compiler_told_to_stop():
        raise failed
    assert found.value.code == 128 + signal.SIGINT
    with pytest.raises(RuntimeError, match="shapes"), entry._compiler_told_to_stop():
        raise other


@pytest.mark.slow
def test_what_torch_raises_of_a_compiler_that_fails_is_a_sentence() -> None:
    from torch._inductor.exc import CppCompileError, InductorError

    def fail(*_: object) -> None:
        raise ImportError(CUT)

    layer = torch.nn.Linear(2, 2)
    layer.compile(backend=fail)
    with pytest.raises(Exception, match="file too short") as found:
        layer(torch.zeros(1, 2))
    torch.compiler.reset()
    for error in (found.value, InductorError(ImportError(CUT), None)):
        said = explain(error, "train") or ""
        assert said.startswith("The networks could not be compiled (ImportError: ")
    said = explain(CppCompileError(["g++", "x.cpp"], "killed"), "train") or ""
    assert "(CppCompileError: C++ compile error Command: g++ x.cpp Output: killed)" in said


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_model_of_text_is_compiled_in_the_first_epoch_only(
    dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = []

    def count(graph: torch.fx.GraphModule, inputs: list) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=count))
    torch.manual_seed(0)
    options = {"width": 8, "blocks": 1, "heads": 2, "tokens": True, "dropout": dropout}
    model = Transformer((1, 1, 6), 5, **options)
    eager = copy.deepcopy(model)
    model.compile_networks()

    def epoch() -> None:
        """Train on batches, of which the last is smaller, and validate on larger ones."""
        for n in (4, 4, 4, 3):
            x = torch.randint(5, (n, 1, 1, 6), dtype=torch.uint8)
            model.train().loss(x)["loss"].mean().backward()
        with torch.no_grad():
            for n in (7, 7, 2):
                x = torch.randint(5, (n, 1, 1, 6), dtype=torch.uint8)
                torch.testing.assert_close(model.eval().nll(x), eager.eval().nll(x))

    epoch()
    first = len(graphs)
    epoch()
    epoch()
    torch.compiler.reset()
    assert len(graphs) == first
    assert first <= 2 * 4, "two networks, each for two sizes in training and in validation"
