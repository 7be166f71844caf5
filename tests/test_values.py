"""Values of the configuration are compared with types and ranges before anything is built."""

import hydra
import pytest
from fuzz_cases import settings
from omegaconf import OmegaConf

from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.values import RANGES, check_values
from gdl.errors import GdlError


def composed(command, *overrides):
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        own = ["run_dir=runs", "data_dir=data"] if command == "train" else []
        return hydra.compose(command, [*overrides, *own])


@pytest.mark.parametrize(("group", "command"), [("task", "sample"), ("measure", "evaluate")])
def test_everything_in_conf_fits(
    group, command
):  # models, data and the like: tests/test_configs.py
    for path in (CONF / group).glob("*.yaml"):
        check_values(composed(command, f"{group}={path.stem}"), command)


def test_every_number_in_conf_has_a_range():
    numbers = {
        key.rpartition(".")[2]
        for _, _, key, value in settings()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    assert numbers - RANGES.keys() == set()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.latent_dim=two", "a whole number"),
        ("model.latent_dim=1.5", "a whole number"),
        ("model.latent_dim=null", "a whole number"),
        ("model.latent_dim=0", "a whole number from 1 to 1e+09"),
        ("model.latent_dim=true", "a whole number"),
        ("model.beta=nan", "a number"),
        ("model.beta=inf", "a number"),
        ("model.beta=-1", "a number from 0"),
        ("model.encoder.hidden=[8,x]", "a list, each of it a whole number"),
        ("model.encoder.hidden=[8,-8]", "from 1 to"),
        ("model.encoder.hidden=8", "a list"),
        ("model.encoder.residual=1", "true or false"),
        ("model.encoder._partial_=x", "true or false"),
        ("model.encoder._target_=3", "no name of a class"),
        ("model.optimizer.lr=fast", "a number"),
        ("model.optimizer.betas=[1]", "a list of 2"),
        ("model.optimizer.betas=[0.9,2]", "from 0 to 1"),
        ("trainer.max_epochs=abc", "a whole number or null"),
        ("trainer.precision=17", "64 or 32"),
        ("+trainer.max_time=[1]", "a text or keys with values or null"),
        ("callbacks.progress=3", "no object"),
        ("+callbacks.x={}", "no object"),
        ("+callbacks.ema={decay:0.9}", "choose it too, callbacks=[ema,...]"),
        ("callbacks.images.folder=3", "a text"),
        ("data.seed=-1", "from 0 to"),
        ("seed=null", "a whole number"),
        ("seed=1e30", "a whole number"),
        ("checkpoint_every=[1]", "a number or null"),
        ("compile=maybe", "true or false"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_what_would(override, expected):
    key = override.lstrip("+").partition("=")[0]
    with pytest.raises(GdlError) as error:
        check_values(composed("train", override), "train")
    assert str(error.value).startswith(key)
    assert expected in str(error.value)


def test_classes_of_ones_own_are_not_judged():
    cfg = composed("train", "model._target_=mylab.Model", "+model.anything=[1,x]")
    check_values(cfg, "train")
    assert OmegaConf.select(cfg, "model.anything") == [1, "x"]
