"""Checkpoints written before the package was reordered, by commit f6cd6cd, and losses of then."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from gdl.noise import seed_noise
from gdl.runs.checkpoints import load_model
from gdl.serialization import RENAMED, build

FOLDER = Path(__file__).parent / "checkpoints"
LOSSES = json.loads((FOLDER / "losses.json").read_text())


@pytest.mark.parametrize("name", LOSSES)
@torch.inference_mode()
def test_an_old_checkpoint_gives_the_same_losses(name, tmp_path):
    path = tmp_path / "best.ckpt"
    path.write_bytes(gzip.decompress((FOLDER / f"{name}.ckpt.gz").read_bytes()))
    model, config = load_model(path)
    assert build(config["data"]).shape == model.shape
    generator = torch.Generator().manual_seed(0)
    if model.levels is None:
        x = torch.randn(5, *model.shape, generator=generator)
    else:
        x = torch.randint(17, (5, *model.shape), generator=generator, dtype=torch.uint8)
    seed_noise(torch.device("cpu"), "old")
    losses = model.loss(x)["loss"]
    torch.testing.assert_close(losses, torch.tensor(LOSSES[name]), rtol=1e-5, atol=2e-4)


def test_every_model_and_data_set_has_its_old_name():
    assert {n.rpartition(".")[2] for n in RENAMED} == {
        n.rpartition(".")[2] for n in RENAMED.values()
    }
    for name in RENAMED.values():
        build({"_target_": name, "_partial_": True})
