"""A run that was copied to another machine, where its data are elsewhere or nowhere."""

import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from small_models import CHOICES, small
from test_cli import main
from test_configs import build, compose

import gdl
from gdl.capabilities import InitializesFromData
from gdl.commands.resume import with_resume
from gdl.data import BinarizedMNIST, ImageData
from gdl.errors import GdlError
from gdl.tasks import LazyImages


def run_of(folder: Path, *overrides: str) -> Path:
    """Write a run with a checkpoint of a model that was not trained."""
    cfg = compose(*overrides)
    config = OmegaConf.to_container(cfg, resolve=True)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "run.json").write_text('{"started": "2026-01-01 10:00:00"}')
    model = build(cfg)
    if isinstance(model, InitializesFromData):
        model.initialize(torch.randint(0, model.levels, (16, *model.shape), dtype=torch.uint8))
    state = model.state_dict()
    torch.save({"state_dict": state, "gdl_config": config}, folder / "checkpoints" / "best.ckpt")
    return folder


SMALL_IMAGES = ["data=binarized_mnist", "data.shape=[1,8,8]", "data_dir=/nowhere"]


# a denoising autoencoder has nothing to sample: its U-Net has no code
@pytest.mark.parametrize("model", sorted({*CHOICES.values()} - {"denoising_ae"}))
def test_a_model_of_any_family_is_sampled_without_data(model, tmp_path, monkeypatch) -> None:
    def no_data(*args, **kwargs):
        raise AssertionError("the data were asked for")

    run = run_of(tmp_path / "run", f"model={model}", *small(model), *SMALL_IMAGES)
    monkeypatch.setattr(BinarizedMNIST, "__init__", no_data)
    (picture,) = main("sample.py", f"run={run}", "task.n=2")
    assert Path(picture).is_file()


def test_a_task_with_images_of_the_users_own_needs_no_data(tmp_path, monkeypatch) -> None:
    run = run_of(tmp_path / "run", "model=vae", *SMALL_IMAGES)
    monkeypatch.setattr(ImageData, "setup", lambda *_: 1 / 0)
    for name in "ab":
        Image.new("L", (8, 8), 100).save(tmp_path / f"{name}.png")
    files = f"task.images=[{tmp_path}/a.png,{tmp_path}/b.png]"
    assert main("sample.py", f"run={run}", "task=interpolate", files)


def test_images_are_read_once_when_they_are_used() -> None:
    reads = []
    x = LazyImages(lambda: reads.append(1) or torch.arange(6).view(3, 2))
    assert not reads
    assert torch.equal(x[:1], torch.tensor([[0, 1]]))
    assert (len(x), tuple(x.shape), x.to("cpu").dtype) == (3, (3, 2), torch.int64)
    assert torch.cat([x, x]).shape == (6, 2)
    assert len(reads) == 1


@pytest.fixture
def olivetti(root, tmp_path):
    return run_of(tmp_path / "run", "model=vae", "data=olivetti", f"data_dir={tmp_path}/gone")


def test_the_data_folder_of_this_machine_wins(olivetti, root, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("GDL_DATA_DIR", raising=False)
    frozen = torch.load(olivetti / "checkpoints" / "best.ckpt", weights_only=True)["gdl_config"]
    assert frozen["data"]["data_dir"] == f"{tmp_path}/gone"
    options = [f"run={olivetti}", "measure=bits", "limit=2"]
    main("evaluate.py", *options, f"data_dir={root}")
    assert gdl.load_data(olivetti, data_dir=root).data_dir == root
    monkeypatch.setenv("GDL_DATA_DIR", str(root))
    main("evaluate.py", *options)
    main("sample.py", f"run={olivetti}", "task=reconstruct")
    assert gdl.load_data(olivetti).data_dir == root
    monkeypatch.setenv("GDL_DATA_DIR", str(tmp_path / "gone"))
    main("evaluate.py", *options, f"data_dir={root}")


def test_a_folder_of_the_users_own_is_found_in_the_data_folder(
    root, tmp_path, monkeypatch
) -> None:
    monkeypatch.delenv("GDL_DATA_DIR", raising=False)
    photos = tmp_path / "there" / "photos"
    shutil.copytree(root / "images", photos)
    options = ["model=vae", "data=folder", f"data.root={photos}", "data.size=8"]
    run = run_of(tmp_path / "run", *options, f"data_dir={tmp_path}/gone")
    assert len(gdl.load_data(run).images("test")) == 1
    (tmp_path / "here").mkdir()
    photos.rename(tmp_path / "here" / "photos")
    with pytest.raises(GdlError, match=r"copy or link it to .*/gone/photos"):
        gdl.load_data(run)
    assert len(gdl.load_data(run, data_dir=tmp_path / "here").images("test")) == 1


def test_a_run_is_resumed_with_the_data_folder_of_this_machine(tmp_path, monkeypatch) -> None:
    run = run_of(tmp_path / "run", "model=vae", "data=digits")
    (run / ".hydra").mkdir()
    (run / ".hydra" / "overrides.yaml").write_text(f"[data=digits, data_dir={tmp_path}/gone]")
    monkeypatch.delenv("GDL_DATA_DIR", raising=False)
    assert f"data_dir={tmp_path}/gone" in with_resume([f"resume={run}"])[0]
    monkeypatch.setenv("GDL_DATA_DIR", str(tmp_path))
    assert f"data_dir={tmp_path}/gone" not in with_resume([f"resume={run}"])[0]
    (tmp_path / "gone").mkdir()
    assert f"data_dir={tmp_path}/gone" in with_resume([f"resume={run}"])[0]
