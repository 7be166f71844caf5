"""corruption= on the command lines of train, sample and evaluate."""

from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.errors import HydraException
from hydra.utils import instantiate

from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.known_keys import check_arguments
from gdl.commands.overrides import mounted
from gdl.commands.unknown_names import unknown_override
from gdl.corruptions import Corruption, Downsample, GaussianNoise, compose
from gdl.errors import GdlError

LISTS = {
    "corruption=downsample": ["downsample"],
    "corruption=[downsample,gaussian_noise]": ["downsample", "gaussian_noise"],
    "corruption=[gaussian_noise,downsample]": ["gaussian_noise", "downsample"],
}


def composed(command: str, args: list[str], folder: Path | None = None) -> Any:
    """Return the configuration of a command's arguments."""
    register_resolvers()
    args = mounted(args, command)
    check_arguments(args, command)
    if folder is not None:
        args = [*args, f"hydra.searchpath=[file://{folder}]"]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(command, args)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a task and a measure that take corruptions, and one that does not."""
    content = (
        "defaults:\n  - /corruption@corruption: null\n  - _self_\n_target_: gdl.tasks.sample\n"
    )
    for group, name in (("task", "mend"), ("measure", "mended"), ("measure", "restoration")):
        (tmp_path / group).mkdir(exist_ok=True)
        (tmp_path / group / f"{name}.yaml").write_text(content)
    return tmp_path


def parts(node: Any) -> dict[str, Corruption]:
    return instantiate(node, _convert_="all")


@pytest.mark.parametrize("choice", LISTS)
def test_corruptions_are_chosen_in_their_order(choice: str, folder: Path) -> None:
    for command, args, place in (
        ("train", ["model=denoising_ae"], "model"),
        ("sample", ["task=mend"], "task"),
        ("evaluate", ["measure=mended"], "measure"),
    ):
        cfg = composed(command, [*args, choice, f"{place}.corruption.downsample.factor=4"], folder)
        found = parts(cfg[place].corruption)
        assert [*found] == LISTS[choice]
        assert found["downsample"] == Downsample(4)


def test_beside_other_measures_it_is_that_of_the_restoration(folder: Path) -> None:
    args = ["+measure@measure.restoration=restoration", "corruption=downsample"]
    # gdl's own file of that name may stand before the folder's; both take corruptions
    if not (CONF / "measure" / "restoration.yaml").exists():
        cfg = composed("evaluate", args, folder)
        assert parts(cfg.measure.restoration.corruption) == {"downsample": Downsample()}
    override = "corruption@measure.restoration.corruption=downsample"
    assert mounted(args, "evaluate") == [args[0], override]


def test_without_a_choice_a_model_has_one_and_a_task_has_the_runs_own(folder: Path) -> None:
    assert parts(composed("train", ["model=denoising_ae"]).model.corruption) == {
        "gaussian_noise": GaussianNoise()
    }
    assert composed("sample", ["task=mend"], folder).task.get("corruption") is None
    with pytest.raises(GdlError, match="There is no corruption"):
        compose(parts(composed("train", ["model=denoising_ae", "corruption=[]"]).model.corruption))


@pytest.mark.parametrize(
    ("command", "choice"),
    [("train", "model=vae"), ("sample", "task=sample"), ("evaluate", "measure=bits")],
)
def test_what_has_no_corruption_says_who_has(command: str, choice: str) -> None:
    with pytest.raises(HydraException) as refused:
        composed(command, [choice, "corruption=downsample"])
    assert "corruption= is for model=denoising_ae" in unknown_override(str(refused.value), command)


def test_other_groups_of_a_model_stay_those_of_the_training() -> None:
    assert mounted(["network=conv"], "train") == ["network@model.network=conv"]
    with pytest.raises(GdlError, match="network belongs to gdl train"):
        check_arguments(mounted(["network=conv"], "sample"), "sample")
