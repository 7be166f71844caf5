"""Runs of strangers, mutated in many ways, do nothing but be read, whatever opens them."""

import random
import shutil

import forked
import pytest
from fuzz_cases import TINY
from strangers import CANARY, MUTATIONS, OPENINGS


@pytest.fixture(scope="module")
def strange_run(tmp_path_factory):
    """A real run, from which all others are made."""
    folder = tmp_path_factory.mktemp("strange")
    done = forked.run("train", [*TINY, "model=vae", "hydra.run.dir=run"], folder)
    assert done.code == 0, done.err
    return folder / "run"


def open_one(number, run, folder):
    """Mutate a copy of a run, open it, and return what happened that must not."""
    chance = random.Random(number)
    target = folder / "outputs" / "digits" / "vae" / "run"
    shutil.copytree(run, target)
    (folder / "run").symlink_to(target)
    (folder / "mylab.py").write_text("Thing = dict\n")
    what = chance.choice(MUTATIONS)(target, chance)
    command, args = chance.choice(OPENINGS)
    env = {"GDL_SECRET": CANARY, "GDL_TRUST": "", "PYTHONDONTWRITEBYTECODE": "1"}
    before = "forked:as_ordinary_user strangers:watch"
    done = forked.run(command, args, folder, 60, env, before)
    found = folder.with_name(f"{folder.name}.seen").read_text().splitlines()
    found += [f"{p} is there" for p in folder.parent.rglob("*pwned*")]
    files = [p for p in folder.rglob("*") if p.is_file()]
    if CANARY in done.out + done.err or any(CANARY.encode() in p.read_bytes() for p in files):
        found.append("the environment was told")
    if "Traceback" in done.err or (done.code not in (0, None) and "error: " not in done.err):
        found.append(done.err[-1500:])
    told = (done.err.strip().splitlines() or ["opened"])[-1]
    return f"{number}: {what[:300]}\n  {command} {' '.join(args)}: {told[:300]}", found


def open_all(numbers, run, tmp_path):
    harmed = []
    for number in numbers:
        folder = tmp_path / str(number) / "cwd"
        folder.mkdir(parents=True)
        what, found = open_one(number, run, folder)
        if found:
            harmed.append("\n  ".join([what, *found]))
        shutil.rmtree(folder.parent)
    assert not harmed, "\n".join([f"{len(harmed)} of {len(numbers)}", *harmed])


def test_a_few_runs_of_strangers_do_nothing(strange_run, tmp_path):
    open_all(range(6), strange_run, tmp_path)


@pytest.mark.slow
def test_two_hundred_runs_of_strangers_do_nothing(strange_run, tmp_path):
    open_all(range(6, 206), strange_run, tmp_path)
