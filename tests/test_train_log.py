"""train.log is what a terminal showed, over all starts of a run."""

import sys

import pytest

from gdl.commands.train_log import TrainLog, recorded, train_log
from gdl.tracking.names import readable_name


def test_lines_are_kept_as_a_terminal_leaves_them(tmp_path) -> None:
    log = TrainLog()
    for text in (
        "before",
        " the file\n",
        "\repoch 1/2",
        "\repoch 2/2   ",
        "\n",
        "\x1b[1mbold\x1b[0m\n",
    ):
        log.take(1, text)
    log._file = None
    path = tmp_path / "new" / "train.log"
    with recorded():
        log.attach(path)
    log.take(1, "out")
    log.take(2, "error: no\n")
    log.take(1, " there\n")
    for k in range(1000):
        log.take(1, f"\r{k}")
    assert len(log._parts[1]) < 10, "what is rewritten takes no memory"
    log.detach()
    expected = ["before the file", "epoch 2/2", "bold", "error: no", "out there", "999"]
    assert path.read_text().splitlines() == expected


def test_streams_work_as_before_and_a_second_start_appends(tmp_path, capsys) -> None:
    path, before = tmp_path / "train.log", (sys.stdout, sys.stderr)
    for k in range(2):
        with recorded():
            print("early", k)
            train_log.attach(path)
            print("late", k, file=sys.stderr)
            assert sys.stdout.isatty() is before[0].isatty()
            assert sys.stdout.encoding == before[0].encoding
            sys.stdout.writelines(["a\n", "b\n"])
        assert (sys.stdout, sys.stderr) == before
        print("after")
    lines = [
        f"{text} {k}" if " " not in text else text for k in (0, 1) for text in ("early", "late")
    ]
    assert [x for x in path.read_text().splitlines() if x not in "ab"] == lines
    assert capsys.readouterr().out.count("after") == 2


def test_the_traceback_of_a_defect_is_kept(tmp_path) -> None:
    def defect() -> None:
        with recorded():
            train_log.attach(tmp_path / "train.log")
            raise ZeroDivisionError("division by zero")

    with pytest.raises(ZeroDivisionError):
        defect()
    assert (tmp_path / "train.log").read_text().endswith("ZeroDivisionError: division by zero\n")


def test_a_full_disk_does_not_stop_a_training(tmp_path) -> None:
    log = TrainLog()
    with recorded():
        log.attach(tmp_path)  # a folder cannot be written to
        log.attach(tmp_path / "train.log")
    assert log._file is not None
    log._file.close()
    log._file = open("/dev/full", "w")  # noqa: SIM115
    log.take(1, "text\n")
    assert log._file is None
    log.take(1, "more\n")


@pytest.mark.parametrize(
    ("choices", "overrides", "name"),
    [
        (["vae", "digits"], ["model=vae", "data=digits", "logger=csv"], "vae-digits-seed3"),
        (["vae", "digits"], ["model.latent_dim=8", "seed=3"], "vae-digits-latent_dim=8-seed3"),
        (["vae", "mnist", "iwae_mnist"], ["experiment=iwae_mnist"], "vae-mnist-iwae_mnist-seed3"),
        (["ae", "x"], ["network@model.network=conv", "trainer.x=5"], "ae-x-network=conv-seed3"),
        (["ae", "digits"], ["hydra.run.dir=/x", f"data.root={'x' * 200}"], "ae-digits-seed3"),
    ],
)  # fmt: skip
def test_names_say_what_a_run_is(choices, overrides, name) -> None:
    assert readable_name(choices, overrides, 3) == name
