"""Training, testing, sampling and evaluating a conditional model, and the data that it needs."""

import inspect
import re
from pathlib import Path

import hydra
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from hydra.utils import get_class
from PIL import Image
from runs_in_process import assert_same_run, numbers, rows, train, train_and_kill
from small_models import small

import gdl
from gdl.capabilities import InitializesFromData
from gdl.commands.conf import CONF, register_resolvers
from gdl.comparison.entries import read_runs
from gdl.data import Arrays, Digits, Folder
from gdl.data.labels import keep_labels
from gdl.errors import GdlError
from gdl.evaluation import bits
from gdl.families import GenerativeModel
from gdl.models import MADE
from gdl.tasks import complete, sample
from gdl.training.conditional import add_classes
from gdl.training.run import build_model

MADE_GIVEN_LABELS = ["model=made", "model.hidden=[8]", "model.conditional=true"]
WHOLE = ["trainer.max_epochs=1", "trainer.limit_val_batches=1.0", "trainer.limit_test_batches=1.0"]


def digits(**options) -> Digits:
    return Digits(shape=[1, 8, 8], levels=17, batch_size=64, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "made"
    train(folder, *MADE_GIVEN_LABELS, *WHOLE)
    return folder


def test_a_run_keeps_the_two_likelihoods_apart(run: Path) -> None:
    found, (row, *_) = numbers(run), rows(run)
    model, data = gdl.load(run), digits()
    x, y = data.images("test"), data.labels("test")
    assert y is not None
    with torch.inference_mode():
        assert found["test/nll"] == pytest.approx(float(model.nll(x).mean()), rel=1e-6)
        given = float(model.nll(x, y).mean())
    assert found["given-label/nll"] == pytest.approx(given, rel=1e-6)
    assert found["test/nll"] != pytest.approx(given, rel=1e-6)
    assert {"best_val/nll_given_label", "given-label/bpd", "test/bpd"} <= found.keys()
    assert not [k for k in row if k in ("train/nll", "train/bpd", "val/nll", "val/bpd")]
    assert {"train/bpd_given_label", "val/nll_given_label"} <= row.keys()
    measured = bits(model, data)
    for key in ("test/nll", "given-label/nll", "given-label/bpd"):
        assert measured[key] == pytest.approx(found[key], rel=1e-6), key
    assert "given-label/nll_se" in measured
    p = data.labels("train")
    assert p is not None
    torch.testing.assert_close(model.log_class_prior.exp(), p.bincount() / len(p))


def test_no_table_compares_a_likelihood_given_the_label(run: Path) -> None:
    (entry,), _ = read_runs([run])
    assert entry.best == (numbers(run)["test/bpd"], "exact")
    assert numbers(run)["given-label/bpd"] != entry.best[0]


DROPPED, MARGINALISED = ["model.label_dropout=0.3"], ["data.labels_per_class=9"]


@pytest.mark.parametrize(
    "options", [DROPPED, pytest.param(MARGINALISED, marks=pytest.mark.slow)], ids=str
)
def test_killed_and_resumed_is_undisturbed(options: list[str], tmp_path: Path) -> None:
    options = [*MADE_GIVEN_LABELS, *options, "checkpoint_every=1e-9"]
    train(tmp_path / "calm", *options)
    assert not [k for k in rows(tmp_path / "calm")[0] if k.startswith("train/nll")]
    assert train_and_kill(tmp_path / "killed", 70, *options)
    assert (tmp_path / "killed" / "checkpoints" / "last.ckpt").exists()
    train(tmp_path / "killed", *options)
    assert_same_run(tmp_path / "calm", tmp_path / "killed")


def test_lightnings_own_trainer_gives_the_labels_to_a_conditional_model_only() -> None:
    data, seen = digits(), []
    for classes in (0, 10):
        model = MADE([1, 8, 8], 17, hidden=[8], num_classes=classes)
        batches: list = []
        original = model.training_step

        def step(batch, batch_idx, original=original, batches=batches):
            batches.append(batch)
            return original(batch, batch_idx)

        model.training_step = step  # type: ignore[method-assign]
        trainer = pl.Trainer(
            max_steps=2,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accelerator="cpu",
        )
        trainer.fit(model, datamodule=data)
        seen.append(batches)
    x, labels = data._splits["train"]
    assert labels is not None
    for bare, (images, y) in zip(*seen, strict=True):
        assert torch.equal(bare, images), "the same images in the same order"
        where = [(x == image).flatten(1).all(1).nonzero()[0, 0] for image in images]
        assert torch.equal(y, labels[torch.stack(where)])


def test_a_trainer_without_labels_or_with_ones_that_are_not_wanted() -> None:
    x = torch.randint(0, 2, (8, 1, 2, 2), dtype=torch.uint8)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, torch.arange(8) % 3), batch_size=4
    )
    options = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu"}
    for classes in (0, 3):
        found = pl.Trainer(**options).test(MADE([1, 2, 2], 2, num_classes=classes), loader)[0]
        assert ("test/nll_given_label" in found) == bool(classes)
        assert "test/nll" in found


class Bare(gdl.data.ImageData):
    def load(self):
        x = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
        return {name: (x, None) for name in ("train", "val", "test")}


def test_data_without_labels_are_refused_in_a_sentence(tmp_path: Path) -> None:
    data = Bare([1, 2, 2], 2)
    assert data.num_classes == 0
    trainer = pl.Trainer(max_steps=1, logger=False, enable_checkpointing=False, accelerator="cpu")
    with pytest.raises(GdlError, match="needs labels: these data have none"):
        trainer.fit(MADE([1, 2, 2], 2, num_classes=3), datamodule=data)
    with pytest.raises(GdlError, match=r"labels_per_class needs labels"):
        Bare([1, 2, 2], 2, labels_per_class=1).setup()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["model=made", "data=binarized_mnist", "data.binarization=static"], "needs labels"),
        (["model=made", "data=toy2d", "model.levels=2", "model.shape=[1,1,2]"], "needs labels"),
        (["model=made", "data.labels_per_class=135"], "class 0 has 134 training images"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_a_run_that_cannot_be_conditional_says_why(options, message, tmp_path, root) -> None:
    given = [f"data.data_dir={root}", "data.verify=false"] * ("binarized_mnist" in str(options))
    with pytest.raises(GdlError, match=message):
        train(tmp_path, *options, *given, "model.conditional=true", "data.batch_size=2")


def test_a_model_that_takes_no_labels_is_refused() -> None:
    from omegaconf import OmegaConf

    for value, message in (
        (True, "lacks: leave it out, or use model=.*made"),
        ("yes", "true or false"),
    ):
        cfg = OmegaConf.create({"model": {"_target_": "gdl.data.Digits", "conditional": value}})
        with pytest.raises(GdlError, match=message):
            add_classes(cfg, digits())


def test_a_users_model_may_take_labels() -> None:
    class Noisy(GenerativeModel):
        def loss(self, x, y=None):
            nll = x.flatten(1).sum(1) + (0.0 if y is None else y)
            return {"loss": nll, "nll": nll}

    x, model = torch.ones(2, 1, 2, 2, dtype=torch.uint8), Noisy([1, 2, 2], 2, num_classes=3)
    assert model.class_nll(x).tolist() == [[4, 5, 6]] * 2


CHOICES = sorted(
    path.stem
    for path in (CONF / "model").glob("*.yaml")
    if (target := yaml.safe_load(path.read_text()).get("_target_"))
    and "num_classes" in inspect.signature(get_class(target)).parameters
)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("choice", CHOICES)
def test_a_step_moves_every_parameter_of_a_conditional_model(choice: str, dropout: float) -> None:
    register_resolvers()
    options = [f"model={choice}", "model.conditional=true", f"model.label_dropout={dropout}"]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", [*options, "data=digits", *small(choice), "run_dir=/nowhere"])
    data = digits()
    add_classes(cfg, data)
    model = build_model(cfg.model)
    assert (model.num_classes, model.label_rows) == (10, 10 + bool(dropout))
    x, y = data.images("train")[:64], data.labels("train")
    assert y is not None
    if isinstance(model, InitializesFromData):
        model.initialize(x)
    with torch.no_grad():
        for p in model.parameters():  # what starts at zero may hide what is behind it
            p.add_(0.01 * torch.randn_like(p))
    y = y[:64]
    if model.nll_kind is not None or dropout:  # an autoencoder cannot sum over unknown labels
        y = torch.where(torch.arange(64) % 8 == 0, -1, y)
    model.loss(x, y)["loss"].mean().backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert not still
    rows = [p.grad for n, p in model.named_parameters() if n.startswith("class_bias")]
    assert all(bool(g[k].any()) for g in rows if g is not None for k in range(model.label_rows))


# ---- samples of a class


def test_samples_and_completions_of_classes(run: Path) -> None:
    model, x = gdl.load(run), digits().images("test")
    every = sample(model, x, n=30, label="all")["samples"].images
    assert every.shape == (10, 3, 1, 8, 8)
    three = sample(model, x, n=4, label=3, seed=1)["samples"].images.flatten(0, 1)
    assert torch.equal(three, model.sample(4, label=3, seed=1))
    assert torch.equal(
        three, sample(model, x, n=4, label="3", seed=1)["samples"].images.flatten(0, 1)
    )
    rows = complete(model, x, images=2, label="all")["completions"].images
    assert rows.shape == (2, 12, 1, 8, 8)
    with torch.inference_mode():
        best = torch.stack([model.class_nll(model.sample(64, label=k)).argmin(1) for k in (3, 5)])
    assert best.shape == (2, 64)


@pytest.mark.parametrize("label", [10, -1, "seven", "3.5", True])
@pytest.mark.parametrize("task", [sample, complete])
def test_a_label_that_is_no_class_is_refused(run: Path, label, task) -> None:
    with pytest.raises(GdlError, match=r"task\.label=.* they are 0, 1, 2, .*9, or all"):
        task(gdl.load(run), digits().images("test"), label=label)


@pytest.mark.parametrize("label", [1, "all"])
def test_a_label_for_a_model_without_labels_is_refused(label) -> None:
    with pytest.raises(
        GdlError, match=r"has no labels: leave out the label, or train with model\.c"
    ):
        sample(MADE([1, 2, 2], 2), torch.zeros(0), label=label)


def test_a_class_is_called_by_its_name_before_its_number() -> None:
    model = MADE([1, 2, 2], 2, hidden=[3], num_classes=3)
    with torch.no_grad():
        model.class_bias.weight.copy_(torch.tensor([-50.0, 50, 0])[:, None, None])
    for names, label, brightness in (
        (["1", "7", "9"], 1, 0.0),
        (["1", "7", "9"], 7, 1.0),
        (["cat", "dog", "hen"], "dog", 1.0),
        (["cat", "dog", "hen"], 0, 0.0),
    ):
        model.config = {"class_names": names}
        shown = sample(model, torch.zeros(0), n=4, label=label)["samples"].images
        assert shown.float().mean() == brightness, (names, label)
    model.config = {"class_names": ["1", "7", "9"]}
    with pytest.raises(GdlError, match="they are 1, 7, 9, or all"):
        sample(model, torch.zeros(0), n=4, label=2)


# ---- labels of data


def test_classes_of_folders_and_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("hen", "cat"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    options = {"data_dir": str(tmp_path), "levels": 256}
    for _ in range(2):  # the second from the cache
        folder = Folder(str(tmp_path / "images"), shape=[3, 4, 4], size=4, **options)
        assert folder.num_classes == 2
        assert folder.class_names == ["cat", "hen"]
    (tmp_path / "images" / "unlabelled").mkdir()
    for i in range(6):
        Image.new("RGB", (4, 4), (i, i, i)).save(tmp_path / "images" / "unlabelled" / f"{i}.png")
    folder = Folder(str(tmp_path / "images"), shape=[3, 4, 4], size=4, **options)
    assert (folder.num_classes, folder.class_names) == (2, ["cat", "hen"])
    for split in ("train", "val", "test"):
        y = folder.labels(split)
        assert y is not None
        dark = folder.images(split).flatten(1).amax(1) < 6
        assert torch.equal(y == -1, dark)
    x, y = rng.integers(0, 2, (20, 2, 2), dtype=np.uint8), np.arange(20) % 4 - 1
    np.savez(tmp_path / "x.npz", images=x, labels=y)
    arrays = Arrays(str(tmp_path / "x.npz"), [1, 2, 2], data_dir=str(tmp_path), levels=2)
    assert arrays.num_classes == 3, "-1 is no class"
    assert arrays.class_names is None
    for bad in (np.arange(20) - 2, np.arange(20) * 1000):
        np.savez(tmp_path / "y.npz", images=x, labels=bad)
        wrong = Arrays(str(tmp_path / "y.npz"), [1, 2, 2], data_dir=str(tmp_path), levels=2)
        with pytest.raises(GdlError, match="number them so"):
            _ = wrong.num_classes


def test_some_labels_are_kept_at_random_and_more_contain_fewer() -> None:
    y = torch.arange(300) % 7
    few, more, other = (keep_labels(y, n, seed) for n, seed in ((5, 0), (11, 0), (5, 1)))
    for kept, n in ((few, 5), (more, 11), (other, 5)):
        assert kept[kept >= 0].bincount().tolist() == [n] * 7
        assert torch.equal(kept[kept >= 0], y[kept >= 0])
    assert bool((more[few >= 0] >= 0).all())
    assert not torch.equal(few, other)
    data = digits(labels_per_class=5)
    for split, unknown in (("train", 1300 - 50), ("val", 0), ("test", 0)):
        labels = data.labels(split)
        assert labels is not None
        assert int((labels < 0).sum()) == unknown
    assert data.digest() == digits().digest(), "the images are the same"


def test_names_of_classes_are_as_many_as_there_are_classes(root: Path) -> None:
    from gdl.data import CIFAR10, MNIST

    for data in (
        MNIST(shape=[1, 28, 28], levels=256, num_val=10, verify=False, data_dir=str(root)),
        MNIST(source="fashion_mnist", shape=[1, 28, 28], levels=256),
        CIFAR10(shape=[3, 32, 32], levels=256),
        digits(),
    ):
        assert data.class_names is not None
        assert len(set(data.class_names)) == 10
        assert all(re.fullmatch(r"[\w -]+", name) for name in data.class_names)
