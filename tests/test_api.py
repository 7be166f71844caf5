"""The Python interface: gdl.load, gdl.load_data, a plain Trainer, a loop of one's own."""

import subprocess
import sys
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from small_models import CHOICES, build_small

import gdl
from gdl.data import Digits
from gdl.errors import GdlError
from gdl.nn import ConvDecoder, ConvEncoder
from gdl.serialization import build_model, describe

SHAPE, LEVELS = (1, 8, 8), 17
each_model = pytest.mark.parametrize("name", gdl.models.__all__)


def build(name: str, **options):
    torch.manual_seed(0)
    return build_small(name, shape=SHAPE, levels=LEVELS, **options)


def images(n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(LEVELS, (n, *SHAPE), generator=generator, dtype=torch.uint8)


def trainer(folder: Path, **options) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=2,
        limit_val_batches=1,
        logger=False,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def test_every_model_has_a_configuration() -> None:
    assert set(CHOICES) == set(gdl.models.__all__)


@each_model
def test_a_plain_trainer_trains_and_its_checkpoint_loads(name: str, tmp_path: Path) -> None:
    model, data = build(name), Digits(shape=SHAPE, levels=LEVELS)
    if isinstance(model, gdl.capabilities.InitializesFromData):
        model.initialize(data.images("train")[:100])
    fit = trainer(tmp_path)
    fit.fit(model, datamodule=data)
    path = tmp_path / "own.ckpt"
    fit.save_checkpoint(path)
    x = images(4)
    for loaded in (type(model).load_from_checkpoint(path), gdl.load(path, device="cpu")):
        assert type(loaded) is type(model)
        assert not loaded.training
        state = loaded.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
        assert loaded.loss(x)["loss"].shape == (4,)
    with pytest.raises(GdlError, match="does not say what it was trained on"):
        gdl.load_data(path)


@each_model
def test_a_loop_of_ones_own_learns(name: str) -> None:
    model, x = build(name), images(16)
    if isinstance(model, gdl.capabilities.InitializesFromData):
        model.initialize(x)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(15):
        torch.manual_seed(0)
        optimizer.zero_grad()
        loss = model.loss(x)["loss"].mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@each_model
def test_a_description_builds_the_same_model(name: str) -> None:
    model = build(name)
    torch.manual_seed(0)
    again = build_model(model.description())
    assert type(again) is type(model)
    theirs = again.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in model.state_dict().items())


def test_networks_of_a_description_are_plain_data(tmp_path: Path) -> None:
    from functools import partial

    nets = {
        "encoder": partial(ConvEncoder, channels=4),
        "decoder": partial(ConvDecoder, channels=4),
    }
    model = build("VAE", **nets)
    described = model.description()
    assert described["encoder"] == {
        "_target_": "gdl.nn.ConvEncoder",
        "_partial_": True,
        "channels": 4,
    }
    assert build_model(described).state_dict().keys() == model.state_dict().keys()


def test_a_model_with_a_network_of_ones_own_is_saved_but_asks_for_its_code(tmp_path: Path) -> None:
    class Own(gdl.nn.MLPEncoder):
        pass

    model = build("VAE", encoder=Own)
    fit = trainer(tmp_path)
    fit.fit(model, datamodule=Digits(shape=SHAPE, levels=LEVELS))
    path = tmp_path / "own.ckpt"
    fit.save_checkpoint(path)
    with pytest.raises(GdlError, match="trust="):
        gdl.load(path)


def test_what_is_not_plain_is_not_described() -> None:
    for value in (object(), torch.zeros(1), "${oc.env:HOME}", {"a": (object(),)}):
        with pytest.raises(GdlError, match="not plain data"):
            describe(value)


def test_another_models_checkpoint_is_refused(tmp_path: Path) -> None:
    fit = trainer(tmp_path)
    fit.fit(build("MADE"), datamodule=Digits(shape=SHAPE, levels=LEVELS))
    fit.save_checkpoint(tmp_path / "made.ckpt")
    with pytest.raises(GdlError, match="holds a MADE, not a VAE"):
        gdl.models.VAE.load_from_checkpoint(tmp_path / "made.ckpt")


def test_an_autoencoder_has_no_nll() -> None:
    with pytest.raises(GdlError, match="no density"):
        build("Autoencoder").nll(images(2))


@pytest.mark.parametrize(("name", "kind"), [("VAE", "bound"), ("NICE", "dequant-1")])
@torch.no_grad()
def test_more_samples_tighten_a_bound(name: str, kind: str) -> None:
    model, x = build(name).eval(), images(50)
    if isinstance(model, gdl.capabilities.InitializesFromData):
        model.initialize(x)
    for p in model.parameters():
        p.add_(0.1 * torch.randn_like(p))
    assert model.nll_kind == kind
    means = [float(model.nll(x, k=k).mean()) for k in (1, 10, 300)]
    assert model.nll(x, k=3).shape == (50,)
    assert means[0] > means[1] > means[2]


@torch.no_grad()
def test_an_exact_nll_is_the_log_probability() -> None:
    model, x = build("MADE").eval(), images(5)
    torch.testing.assert_close(model.nll(x), -model.log_prob(x))
    torch.testing.assert_close(model.nll(x, k=7), model.nll(x))


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_import_gdl_is_light() -> None:
    loaded = modules_after("import gdl; gdl.__version__; dir(gdl)")
    assert not loaded & {"torch", "lightning", "numpy", "hydra"}


def test_loading_imports_no_command_line_and_no_tracker() -> None:
    loaded = modules_after("import gdl; gdl.load")
    assert "torch" in loaded
    ours = ("gdl.training", "gdl.commands", "gdl.tracking", "gdl.sweeps", "gdl.comparison")
    assert not [m for m in loaded if m.startswith(ours)]
    assert not loaded & {"hydra", "wandb", "sklearn"}


@pytest.mark.parametrize("command", ["train", "sample", "evaluate", "compare"])
def test_help_imports_no_torch(command: str) -> None:
    code = (
        f"import sys, gdl.commands.{command} as c\nsys.argv = ['gdl', '--help']\n"
        "try:\n    c.main()\nexcept SystemExit: pass"
    )
    assert not modules_after(code) & {"torch", "lightning"}


@pytest.mark.parametrize("name", ["Autoencoder", "VAE", "NICE"])
@torch.no_grad()
def test_a_reconstruction_is_the_decoded_code(name: str) -> None:
    model, x = build(name).eval(), images(50)
    if isinstance(model, gdl.capabilities.InitializesFromData):
        model.initialize(x)
    y = model.reconstruct(x)
    torch.testing.assert_close(y, model.decode(model.encode(x)))
    assert y.shape == x.shape
    assert 0 <= y.min() <= y.max() <= LEVELS - 1
    if name == "NICE":
        torch.testing.assert_close(y, x.float(), atol=1e-3, rtol=0)
