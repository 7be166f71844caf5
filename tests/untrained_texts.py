"""Checkpoints of untrained models, and commands as they are typed."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.entry import run_command
from gdl.commands.overrides import with_files
from gdl.data.text_protocols import HasAlphabet
from gdl.serialization import build_model

Call = Callable[..., tuple[int, str, str]]


def save_untrained(path: Path, *args: str) -> None:
    """Save a checkpoint as a run of `gdl train` with these arguments begins with."""
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", [*args], return_hydra_config=False)
    torch.manual_seed(0)
    plain: Any = {key: OmegaConf.to_container(cfg[key], resolve=True) for key in ("model", "data")}
    model, data = build_model(plain["model"]), instantiate(plain["data"], _convert_="all")
    config = {**plain, "choices": dict(a.split("=") for a in args if a.split("=")[0] in plain)}
    if isinstance(data, HasAlphabet):
        config["alphabet"] = data.characters
    torch.save({"state_dict": model.state_dict(), "gdl_config": config}, path)


def typist(
    commands: Mapping[str, Callable[..., Any]],
    first: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    """Return what runs a command; it returns its code, and what it prints and complains.

    Args:
        commands: The commands by name.
        first: Arguments in front of the others.
        monkeypatch: Sets what is typed.
        capsys: Reads what is printed.
    """

    def run(command: str, *args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [f"gdl {command}", *first, *args])
        code = 0
        try:
            run_command(commands[command], command)
        except SystemExit as e:
            code = int(str(e.code))
        return code, *capsys.readouterr()

    return run


def coder(
    commands: Mapping[str, Callable[..., Any]],
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """Return what runs a command on files; it returns what is printed, or the one sentence of an error.

    Args:
        commands: The commands by name.
        runs: The folder that RUNS in an argument stands for.
        monkeypatch: See `typist`.
        capsys: See `typist`.
    """
    run = typist(commands, [], monkeypatch, capsys)

    def called(command: str, *args: str) -> str:
        capsys.readouterr()
        given = [a.replace("RUNS", str(runs)) for a in args]
        code, out, err = run(command, *with_files(given, command))
        if not code:
            return out
        assert code == 1
        assert err.startswith("error: ")
        assert err.count("\n") == 1, err
        assert "defect" not in err
        assert "file:" not in out
        return err

    return called
