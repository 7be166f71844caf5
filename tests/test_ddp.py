"""Two processes with half the batch each compute what one computes."""

import csv
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from gdl.data.base import ImageData, Split
from gdl.data.batches import Batches, ImageSet
from gdl.distributions import DiscretizedGaussian
from gdl.families.base import GenerativeModel
from gdl.models.beta_tcvae import BetaTCVAE
from gdl.models.factor_vae import FactorVAE
from gdl.models.glow import Glow
from gdl.models.made import MADE
from gdl.models.pixelcnn import PixelCNN
from gdl.models.vae import VAE
from gdl.nn.mlp import MLPDecoder, MLPEncoder
from gdl.part import Part
from gdl.tracking.metrics_csv import MetricsCSV

SHAPE = (1, 8, 8)


def flipped(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A random map of a batch, whose noise the processes have to share as well."""
    flip = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    return torch.where(flip, x.flip(3), x)


class Patches(ImageData):
    """Some images for training; 17 and 19 for evaluation, the last one alone or in uneven halves."""

    transform = staticmethod(flipped)
    num_train = 0

    def load(self) -> dict[str, Split]:
        n = self.num_train
        x = torch.randint(0, 2, (n + 36, *SHAPE), generator=torch.Generator().manual_seed(0))
        labels = x[:, 0, 0, :2].sum(1).split([n, 17, 19])
        images = x.to(torch.uint8).split([n, 17, 19])
        return dict(zip(("train", "val", "test"), zip(images, labels, strict=True), strict=True))


def sgd(params: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, 1e-3)  # Adam makes much of the last bits of a small gradient


NETWORKS: dict[str, Any] = {
    "encoder": partial(MLPEncoder, hidden=[16]),
    "decoder": partial(MLPDecoder, hidden=[16]),
}


def vae(**options: Any) -> VAE:
    return VAE(SHAPE, 2, 3, **NETWORKS, **options)


FAMILIES: dict[str, Callable[[], GenerativeModel]] = {
    "vae": vae,
    "iwae": lambda: vae(num_importance_samples=3),
    "beta_tcvae": lambda: BetaTCVAE(SHAPE, 2, 3, **NETWORKS),
    "factor_vae": lambda: FactorVAE(SHAPE, 2, 3, **NETWORKS, discriminator=[16]),
    "made": lambda: MADE(SHAPE, 2, hidden=[32]),
    "labels": lambda: MADE(SHAPE, 2, hidden=[32], num_classes=3, label_dropout=0.4),
    "glow": lambda: Glow(SHAPE, 2, num_levels=2, depth=2, width=8),
    "optimal variance": lambda: vae(likelihood=DiscretizedGaussian),
    "free bits": lambda: vae(free_bits=0.03, kl_warmup_steps=4),
    "dropout": lambda: PixelCNN(SHAPE, 2, width=8, layers=1, hidden=8, dropout=0.5),
}


Row = Mapping[str, str | float]


def train(
    family: str, num_train: int, path: Path, num_processes: int
) -> tuple[list[Row], dict[str, torch.Tensor]]:
    """Train two epochs on batches of 16 and test; return what was logged and the weights."""
    torch.manual_seed(0)
    model = FAMILIES[family]()
    model.train_with(sgd)
    data = Patches(SHAPE, 2, 16 // num_processes, 8 // num_processes)
    data.num_train = num_train
    if isinstance(model, Glow):
        model.initialize(data.images("train"))
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=num_processes,
        strategy="ddp_fork" if num_processes > 1 else "auto",
        max_epochs=2,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=MetricsCSV(str(path)),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(model, datamodule=data)
    with path.open() as f:
        rows: list[Row] = list(csv.DictReader(f))
    (tested,) = trainer.test(model, datamodule=data, verbose=False)
    return [*rows, tested], model.state_dict()


@pytest.mark.parametrize(
    ("family", "num_train"),
    # the last batch has two images in one process and one in the other, or one and none
    [
        *((family, 67) for family in FAMILIES),
        ("vae", 65),
        ("beta_tcvae", 65),
        ("factor_vae", 65),
        ("optimal variance", 65),
    ],
)
def test_two_processes_compute_what_one_does(family: str, num_train: int, tmp_path: Path) -> None:
    (one, weights), (two, same) = (
        train(family, num_train, tmp_path / f"{n}.csv", n) for n in (1, 2)
    )
    assert len(one) == len(two) == 2 * (5 + 1) + 1, "steps, validations and the test"
    for a, b in zip(one, two, strict=True):
        terms = [k for k in a if k.startswith(("train/", "val/", "test/")) and a[k] != ""]
        assert terms
        for term in terms:
            assert float(b[term]) == pytest.approx(float(a[term]), rel=2e-5, abs=1e-6), term
    for key, value in weights.items():
        torch.testing.assert_close(same[key], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num", [1, 5, 16, 33])
def test_the_parts_of_a_batch_are_the_batch(num: int) -> None:
    data = ImageSet(torch.arange(num, dtype=torch.uint8).view(-1, 1, 1, 1), flipped)
    order = torch.utils.data.SequentialSampler(data)
    whole = list(Batches(data, 12, order))
    parts = [list(Batches(data, 4, order, (rank, 3))) for rank in range(3)]
    for batch, *of in zip(whole, *parts, strict=True):
        own = [Part.of(len(batch), rank, 3) for rank in range(3)]
        assert torch.equal(torch.cat([x[: p.count] for x, p in zip(of, own, strict=True)]), batch)
        sizes = [p.count for p in own]
        assert max(sizes) - min(sizes) <= 1
    late = list(Batches(data, 12, order, given=lambda: 1))
    assert len(late) == len(whole) - 1
    assert all(torch.equal(a, b) for a, b in zip(late, whole[1:], strict=True))
