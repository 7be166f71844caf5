"""Whatever the input, a command ends well or with one sentence, never with a traceback."""

import random
import shutil

import forked
import numpy as np
import pytest
from fuzz_cases import SMALL, TINY, damage_cases, line_cases, place, value_cases
from PIL import Image

KINDS = {
    "vae": ["model=vae"],
    "made": ["model=made", "model.hidden=[8]"],
    "glow_tiny": ["model=glow_tiny", *SMALL["glow_tiny"]],
    "toy": ["model=realnvp", "model.hidden=[8]", "data=toy2d", "data.num_eval=100"],
}


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Finished runs by what the cases call them, as folders; and a folder of images."""
    folder = tmp_path_factory.mktemp("runs")
    noise = np.random.default_rng(0)
    (folder / "images").mkdir()
    for i in range(20):
        pixels = noise.integers(0, 256, (9, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
    for name, options in KINDS.items():
        args = [a for a in TINY if not (name == "toy" and a.startswith("data="))]
        done = forked.run("train", [*args, *options, f"hydra.run.dir={name}"], folder)
        assert done.code == 0, done.err
    return folder


def fault(done):
    """Return what is wrong with how a command has ended, or None."""
    lines = [line for line in done.err.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    if "Traceback" in done.out + done.err:
        return "a traceback"
    if "defect" in done.err:
        return "a defect"
    if done.code in (None, 0):
        return None
    if done.code != 1 or len(errors) != 1 or lines[-1] != errors[0]:
        return f"exit code {done.code} with {len(errors)} sentences"
    return None


def try_all(cases, runs, tmp_path, seconds):
    found = []
    for i, case in enumerate(cases):
        folder = tmp_path / str(i)
        kind = next(
            (k for k in KINDS if any(f"={t}" in " ".join(case.args) for t in USES[k])), "vae"
        )
        place(case, runs / kind, folder)
        (folder / "images").symlink_to(runs / "images")
        done = forked.run(case.command, case.args, folder, seconds)
        if what := fault(done):
            found.append(
                f"{case.name}: {what}\n{' '.join([case.command, *case.args])}\n{done.err[-1500:]}"
            )
        shutil.rmtree(folder)
    assert not found, "\n\n".join([f"{len(found)} of {len(cases)}", *found])


USES = {
    "vae": [],
    "made": ["complete", "conditional"],
    "glow_tiny": ["inversion", "dequantization"],
    "toy": ["density", "divergence"],
}


def test_a_sample_of_bad_input_ends_with_a_sentence(runs, tmp_path):
    cases = [*value_cases(0), *line_cases(0), *damage_cases(0, runs / "vae")]
    try_all(random.Random(0).sample(cases, 12), runs, tmp_path, 20)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_bad_input_ends_with_a_sentence(seed, runs, tmp_path):
    cases = [*value_cases(seed), *line_cases(seed), *damage_cases(seed, runs / "vae")]
    try_all(cases, runs, tmp_path, 20)
