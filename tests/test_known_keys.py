"""evaluate.py and sample.py refuse what they would not use, however it is written."""

import sys

import hydra
import pytest

from gdl.commands.conf import CONF
from gdl.commands.entry import run_command
from gdl.commands.known_keys import READERS, check_arguments, check_functions
from gdl.errors import GdlError

USED = {
    "evaluate": [
        *[
            "run=latest",
            "seed=3",
            "++seed=3",
            "limit=5",
            "batch_size=7",
            "data_dir=/x",
            "trust=mylab",
        ],
        *["measure=iwae", "measure.iwae.k=5", "+measure.iwae.k=5", "++measure.iwae.k=5"],
        *[
            "+measure@measure.distances=distances",
            "~measure.iwae",
            "~measure.iwae.k",
            "--cfg",
            "job",
        ],
        *["hydra.run.dir=/x", "hydra/launcher=joblib", "-m", "--config-dir", "a=b"],
    ],
    "sample": [
        "run=latest",
        "task=traverse",
        "task.n=3",
        "+task.mean=false",
        "out=/x",
        "device=cpu",
    ],
}

UNUSED = {
    "evaluate": {
        "model=vae": "the checkpoint says with which one",
        "model.optimizer.lr=1": "belongs to gdl train",
        "likelihood=bernoulli": "belongs to gdl train",
        "task=sample": "belongs to gdl sample",
        "task.n=3": "belongs to gdl sample",
        "mesure=iwae": "did you mean measure?",
        "batchsize=3": "did you mean batch_size?",
        "seed.x=3": "did you mean seed?",
        "foo=1": "The keys of gdl evaluate are run, device",
        "foo.bar=1": "The keys of gdl evaluate are run, device",
        "measure@foo=iwae": "did you mean measure?",
    },
    "sample": {
        "data=mnist": "other data are not possible yet",
        "measure=iwae": "belongs to gdl evaluate",
        "limit=3": "belongs to gdl evaluate",
        "tsk=sample": "did you mean task?",
    },
}

IN_FUNCTIONS = {
    "evaluate": {
        "+measure.iwae.kk=3": "did you mean measure.iwae.k?",
        "++measure.iwae.chunks=3": "did you mean measure.iwae.chunk?",
        "+measure.iwae.limit=3": "use limit=",
        "+measure.iwae.data=3": "comes from gdl evaluate itself",
        "+measure.foo=3": "measure.foo is no measure",
        "measure.iwae=5": "measure.iwae is no measure",
    },
    "sample": {
        "+task.foo=1": "it has n, seed, temperature, mean",
        "+task.tempreature=1": "did you mean task.temperature?",
        "+task.x=1": "comes from gdl sample itself",
    },
}


@pytest.mark.parametrize("command", READERS)
def test_an_unused_key_is_refused_with_every_sign(command: str) -> None:
    check_arguments(USED[command], command)
    for arg, expected in UNUSED[command].items():
        # a nearest name takes a composition of the configuration
        composes = expected.startswith(("did you mean", "The keys of"))
        for sign in ("+",) if composes else ("", "+", "++", "~"):
            with pytest.raises(GdlError) as found:
                check_arguments([*USED[command][:2], sign + arg], command)
            assert expected in str(found.value)
    for key in ("run", READERS[command], "device"):
        with pytest.raises(GdlError, match=f"needs {key}"):
            check_arguments([f"~{key}"], command)
    check_arguments([*UNUSED["evaluate"]], "train")


@pytest.mark.parametrize(
    ("command", "arg"), [(c, arg) for c, args in IN_FUNCTIONS.items() for arg in args]
)
def test_an_unused_key_of_a_function_is_refused(
    command: str, arg: str, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(sys, "argv", [f"gdl {command}", "run=nowhere", arg])
    with pytest.raises(SystemExit):
        run_command(lambda _: pytest.fail("it was accepted"), command)
    assert IN_FUNCTIONS[command][arg] in capsys.readouterr().err


def test_every_function_of_a_command_knows_its_own_keys() -> None:
    for command, group in READERS.items():
        folder = sorted((CONF / group).glob("*.yaml"))
        assert folder
        for file in folder:
            with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
                check_functions(hydra.compose(command, [f"{group}={file.stem}"]), command)
