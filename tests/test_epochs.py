"""What changes from epoch to epoch and from step to step does, and is the same in another run."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from gdl.data.base import ImageData, Split
from gdl.families.base import GenerativeModel
from gdl.models import MADE, VAE
from gdl.nn.mlp import MLPDecoder, MLPEncoder
from gdl.noise import normal

pytestmark = pytest.mark.filterwarnings("ignore:.*no `val_dataloader`.*")
SHAPE = (1, 4, 4)


def flipped(x: Tensor, generator: torch.Generator) -> Tensor:
    flip = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    return torch.where(flip, 1 - x, x)


class Numbered(ImageData):
    """22 images, the n-th of which has n in binary in its first row and the column below."""

    def load(self) -> dict[str, Split]:
        n = torch.arange(22)
        x = torch.zeros(22, *SHAPE, dtype=torch.uint8)
        for bit in range(5):
            x[:, 0, bit // 4, bit % 4] = (n >> bit & 1).to(torch.uint8)
        return {split: (x, None) for split in ("train", "val", "test")}


class Flipped(Numbered):
    """The same, each inverted by chance."""

    transform = staticmethod(flipped)


def numbers(x: Tensor) -> list[int]:
    return [sum(int(image.flatten()[b]) << b for b in range(5)) for image in x]


class Watched(VAE):
    """A model that keeps what it was given and what noise it drew, by stage."""

    def __init__(self) -> None:
        super().__init__(
            SHAPE,
            2,
            3,
            lambda *a: MLPEncoder(*a, hidden=[8]),
            lambda *a: MLPDecoder(*a, hidden=[8]),
        )
        self.seen: list[tuple[str, int, Tensor, Tensor]] = []

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        stage = "train" if self.training else "val"
        state = torch.get_rng_state()
        noise = normal((len(x), 3), torch.empty(0))
        torch.set_rng_state(state)
        self.seen.append((stage, self.current_epoch, x.clone(), noise))
        return super().loss(x)

    def by(self, stage: str, epoch: int) -> tuple[list[Tensor], list[Tensor]]:
        """Return batches and noise."""
        found = [(x, noise) for s, e, x, noise in self.seen if (s, e) == (stage, epoch)]
        return [x for x, _ in found], [noise for _, noise in found]


def fit(
    model: GenerativeModel, data: ImageData, resume: Path | None = None, **options: Any
) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu",
        **{"max_epochs": 3, "logger": False, "enable_checkpointing": False, **options},
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
    return trainer


def watch(data: type[ImageData], seed: int = 0, noise_seed: int = 0) -> Watched:
    torch.manual_seed(0)
    model = Watched()
    model.noise_seed = noise_seed
    fit(model, data(SHAPE, 2, batch_size=5, eval_batch_size=8, seed=seed))
    return model


def test_each_epoch_has_all_images_in_an_order_of_its_own() -> None:
    model = watch(Numbered)
    orders = [numbers(torch.cat(model.by("train", epoch)[0])) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(22))
        assert order != sorted(order)
    assert len({tuple(order) for order in orders}) == 3, "epochs have one order"
    again, other = watch(Numbered), watch(Numbered, seed=1)
    assert orders[2] == numbers(torch.cat(again.by("train", 2)[0]))
    assert orders[2] != numbers(torch.cat(other.by("train", 2)[0]))
    for epoch in range(3):  # evaluation has them in their own order
        assert numbers(torch.cat(model.by("val", epoch)[0])) == list(range(22))


def test_each_epoch_batch_and_stage_has_noise_of_its_own() -> None:
    model, again, other = watch(Numbered), watch(Numbered), watch(Numbered, noise_seed=1)
    drawn = [n[:2] for e in range(3) for n in model.by("train", e)[1]]  # the last batch has two
    assert len({tuple(n.flatten().tolist()) for n in drawn}) == len(drawn) == 15
    evaluated = [n[:2] for n in model.by("val", 0)[1]]
    assert len({tuple(n.flatten().tolist()) for n in drawn + evaluated}) == 15 + 3
    for epoch in range(3):
        ours, theirs = model.by("train", epoch)[1], again.by("train", epoch)[1]
        assert all(map(torch.equal, ours, theirs))
        assert not any(map(torch.equal, ours, other.by("train", epoch)[1]))
        # validation is to differ by the weights alone
        assert all(map(torch.equal, model.by("val", epoch)[1], model.by("val", 0)[1]))


def test_each_epoch_has_a_random_map_of_its_own() -> None:
    """Of the image, not of its place in the epoch alone."""
    model, again = watch(Flipped), watch(Flipped)
    maps = []
    for epoch in range(3):
        x = torch.cat(model.by("train", epoch)[0])
        assert torch.equal(x, torch.cat(again.by("train", epoch)[0]))
        inverted = x[:, 0, 3, 3] == 1  # zero in all images
        order = numbers(torch.where(inverted.view(-1, 1, 1, 1), 1 - x, x))
        assert sorted(order) == list(range(22))
        maps.append({n: bool(flip) for n, flip in zip(order, inverted, strict=True)})
    assert maps[0] != maps[1] != maps[2]
    assert 0 < sum(maps[0].values()) < 22


class Masks(MADE):
    """A model that keeps the order of the pixels of each step."""

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        if self.training:
            self.used.append(tuple(self.order.tolist()))
        return super().loss(x)


def test_a_mixture_of_masks_trains_each_of_them() -> None:
    model = Masks(SHAPE, 2, hidden=[12], num_masks=3, order="random")
    model.used = []
    fit(model, Numbered(SHAPE, 2, batch_size=5), max_epochs=2)
    assert len(model.used) == 10
    counts = sorted(model.used.count(order) for order in set(model.used))
    assert counts == [3, 3, 4], "masks are not used in turn"


@pytest.mark.parametrize("steps", [3, 7])
def test_a_resumed_mixture_goes_on_with_the_next_mask(steps: int, tmp_path: Path) -> None:
    def build() -> Masks:
        torch.manual_seed(0)
        model = Masks(SHAPE, 2, hidden=[12], num_masks=3, order="random")
        model.used = []
        return model

    data = lambda: Numbered(SHAPE, 2, batch_size=5)  # noqa: E731
    whole, first, second = build(), build(), build()
    fit(whole, data(), max_steps=10)
    fit(first, data(), max_steps=steps).save_checkpoint(tmp_path / "x.ckpt")
    fit(second, data(), resume=tmp_path / "x.ckpt", max_steps=10)
    assert first.used + second.used == whole.used


LENGTHS = [
    ({"max_epochs": 3}, 15),
    ({"max_epochs": 3, "max_steps": 7}, 7),
    ({"max_epochs": 3, "accumulate_grad_batches": 2}, 9),
]


@pytest.mark.parametrize(("options", "steps"), LENGTHS)
def test_a_schedule_ends_with_the_training(options: dict[str, Any], steps: int) -> None:
    torch.manual_seed(0)
    model, optimizers = MADE(SHAPE, 2, hidden=[8]), []

    def sgd(parameters: Any) -> torch.optim.Optimizer:
        optimizers.append(torch.optim.SGD(parameters, 0.1))
        return optimizers[-1]

    seen = []

    def schedule(optimizer: torch.optim.Optimizer, total_steps: int) -> Any:
        seen.append(total_steps)
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / total_steps)

    model.train_with(sgd, schedule)
    trainer = fit(model, Numbered(SHAPE, 2, batch_size=5), **options)
    assert trainer.global_step == steps
    assert seen == [steps]
    assert optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_the_time_of_a_resumed_training_is_that_of_both_parts(tmp_path: Path) -> None:
    first, second = (MADE(SHAPE, 2, hidden=[8]) for _ in range(2))
    data = lambda: Numbered(SHAPE, 2, batch_size=5)  # noqa: E731
    path = tmp_path / "x.ckpt"
    fit(first, data(), max_steps=3).save_checkpoint(path)
    content = torch.load(path, weights_only=True)
    assert 0 < content["gdl_fit_seconds"] <= first.fit_seconds
    torch.save(content | {"gdl_fit_seconds": 1000.0}, path)
    fit(second, data(), resume=path, max_steps=5)
    assert 1000 < second.fit_seconds < 1500
