"""Checkpoints written before the package was reordered, by commit f6cd6cd, and losses of then."""

import gzip
import importlib
import json
import struct
import zipfile
from pathlib import Path

import pytest
import torch

import gdl
from gdl.errors import GdlError
from gdl.noise import seed_noise
from gdl.runs.config import read_config
from gdl.serialization import RENAMED, ROOMS, build

FOLDER = Path(__file__).parent / "checkpoints"
LOSSES = json.loads((FOLDER / "losses.json").read_text())


@pytest.mark.parametrize("name", LOSSES)
@torch.inference_mode()
def test_an_old_checkpoint_gives_the_same_losses(name, tmp_path):
    path = tmp_path / "best.ckpt"
    path.write_bytes(gzip.decompress((FOLDER / f"{name}.ckpt.gz").read_bytes()))
    model = gdl.load(path, device="cpu")
    assert build(model.config["data"]).shape == model.shape
    generator = torch.Generator().manual_seed(0)
    if model.levels is None:
        x = torch.randn(5, *model.shape, generator=generator)
    else:
        x = torch.randint(17, (5, *model.shape), generator=generator, dtype=torch.uint8)
    seed_noise(torch.device("cpu"), "old")
    losses = model.loss(x)["loss"]
    torch.testing.assert_close(losses, torch.tensor(LOSSES[name]), rtol=1e-5, atol=2e-4)


def test_every_model_and_data_set_has_its_old_name():
    for old, name in RENAMED.items():
        room, _, attribute = name.rpartition(".")
        assert attribute in importlib.import_module(room).__all__
        assert attribute.lower() in (old.rpartition(".")[2].lower(), "open_wandb_logger")
        if room in ROOMS:
            build({"_target_": old, "_partial_": True})
    newer = {
        "BetaTCVAE",
        "DenoisingAutoencoder",
        "FactorVAE",
        "Gaussian",
    }  # models that came after the old names
    assert {n.rpartition(".")[2] for n in RENAMED} >= {*gdl.models.__all__} - newer


def test_configurations_of_old_runs_have_todays_names(tmp_path):
    (tmp_path / ".hydra").mkdir()
    text = (
        "model:\n  _target_: gdl.models.vae.VAE\n  scheduler: {_target_: gdl.schedules.cosine}\n"
    )
    (tmp_path / ".hydra" / "config.yaml").write_text(text)
    found = read_config(tmp_path)
    assert found["model._target_"] == "gdl.models.VAE"
    assert found["model.scheduler._target_"] == "gdl.training.Cosine"


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "best.ckpt"
    path.write_bytes(gzip.decompress((FOLDER / "nice.ckpt.gz").read_bytes()))
    return path


def test_a_flipped_bit_is_noticed_in_a_file_that_is_named(checkpoint):
    gdl.load(checkpoint, device="cpu")
    content = bytearray(checkpoint.read_bytes())
    with zipfile.ZipFile(checkpoint) as archive:
        parts = archive.infolist()
    for part in parts:
        # behind a local header of 30 bytes, a name and padding
        lengths = content[part.header_offset + 26 : part.header_offset + 30]
        start = part.header_offset + 30 + sum(struct.unpack("<HH", lengths))
        position = start + part.file_size // 2
        content[position] ^= 1
        checkpoint.write_bytes(content)
        with pytest.raises(GdlError, match="damaged"):
            gdl.load(checkpoint, device="cpu")
        content[position] ^= 1


def test_a_compressed_file_is_not_inflated(checkpoint):
    with zipfile.ZipFile(checkpoint) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(checkpoint, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    with pytest.raises(GdlError, match="of another kind"):
        gdl.load(checkpoint, device="cpu")


def test_what_torch_refuses_is_refused_without_its_advice(checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    torch.save({**content, "more": Path("/")}, checkpoint)
    with pytest.raises(GdlError, match="more than tensors") as refused:
        gdl.load(checkpoint, device="cpu")
    assert "weights_only" not in str(refused.value)
