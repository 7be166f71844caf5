"""Steps that are not finite are left out and counted; too many of them stop training."""

import math
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.families.nonfinite import NonFiniteSteps
from gdl.training import AveragedWeights

pytestmark = pytest.mark.filterwarnings("ignore:.*no `val_dataloader`.*")

BATCHES = torch.randint(0, 17, (8, 4, 1, 2, 2), dtype=torch.uint8)
OPTIMIZERS = {
    "fused": lambda p: torch.optim.Adam(p, 0.01, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1, fused=True),
    "adamax": lambda p: torch.optim.Adamax(p, 0.01, weight_decay=0.1),
    "momentum": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9),
}


class Fragile(GenerativeModel):
    """Squared distances to a point, which go wrong in one of three ways at given steps."""

    def __init__(self, optimizer: Callable, bad: set[int], way: str = "nan", **options) -> None:
        super().__init__((1, 2, 2), 17)
        self.train_with(optimizer, **options)
        self.bad, self.way, self.step = bad, way, 0
        self.point = nn.Parameter(torch.ones(1, 2, 2))
        self.scale_ = nn.Parameter(torch.ones(()))

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        loss = ((x / 16 - self.point) * self.scale_).square().flatten(1).sum(1)
        if self.training:
            if self.step in self.bad:
                loss = loss + self.harm()
            self.step += 1
        return {"loss": loss, "nll": loss}

    def harm(self) -> Tensor:
        if self.way == "nan":
            return self.point.sum() * math.nan
        if self.way == "loss alone":
            return torch.tensor([0.0, math.inf, 0.0, 0.0])
        return (self.scale_ - self.scale_.detach()).abs().sqrt()  # 0, with an infinite slope


def fit(model: GenerativeModel, *callbacks, resume: Path | None = None, **options) -> pl.Trainer:
    logger = options.pop("logger", False)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=logger,
        callbacks=[*callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **{"max_epochs": 1, "log_every_n_steps": 2, **options},
    )
    loader = DataLoader(list(BATCHES), batch_size=None)
    trainer.fit(model, loader, ckpt_path=resume, weights_only=True)
    return trainer


def by_hand(optimizer: Callable, skip: set[int]) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = Fragile(optimizer, set())
    opt = optimizer(model.parameters())
    for i, x in enumerate(BATCHES):
        if i not in skip:
            opt.zero_grad()
            model.loss(x)["loss"].mean().backward()
            opt.step()
    return model, opt


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("way", ["nan", "loss alone", "gradient alone"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_bad_step_leaves_parameters_and_state_as_if_it_had_not_been(
    name: str, way: str, on_device: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer, bad = OPTIMIZERS[name], {0, 3, 4}
    if on_device:  # as on an accelerator, where the flag is not read
        fused = lambda found, o: getattr(o, "_step_supports_amp_scaling", False)  # noqa: E731
        monkeypatch.setattr(NonFiniteSteps, "_stays_on_device", staticmethod(fused))
    model = Fragile(optimizer, bad, way)
    trainer = fit(model)
    expected, opt = by_hand(optimizer, bad)
    for (key, ours), theirs in zip(model.named_parameters(), expected.parameters(), strict=True):
        assert torch.equal(ours, theirs), key
    found, wanted = (o.state_dict()["state"] for o in (trainer.optimizers[0], opt))
    assert found.keys() == wanted.keys()
    for i in wanted:
        for key, value in wanted[i].items():
            assert torch.equal(torch.as_tensor(found[i][key]), torch.as_tensor(value)), key
    assert model.skipped_steps == 3
    assert trainer.global_step == len(BATCHES)


def test_clipping_and_accumulation_skip_the_whole_step() -> None:
    optimizer = OPTIMIZERS["fused"]
    model = Fragile(optimizer, {5})  # the second of the third pair
    fit(model, accumulate_grad_batches=2, gradient_clip_val=0.5)
    expected = Fragile(optimizer, set())
    opt = optimizer(expected.parameters())
    for pair in (0, 1, 3):
        opt.zero_grad()
        for x in BATCHES[2 * pair : 2 * pair + 2]:
            (expected.loss(x)["loss"].mean() / 2).backward()
        nn.utils.clip_grad_norm_(expected.parameters(), 0.5)
        opt.step()
    torch.testing.assert_close(model.point, expected.point)
    assert model.skipped_steps == 1


def test_clipping_by_value_and_by_norm() -> None:
    for algorithm, size in (("value", 2.0), ("norm", 1.0)):
        model = Fragile(lambda p: torch.optim.SGD(p, 1.0), set())
        model.point.grad = torch.full_like(model.point, 7.0)
        model.configure_gradient_clipping(None, 1.0, algorithm)  # type: ignore[arg-type]
        assert model.point.grad.norm().item() == pytest.approx(size)
        model.configure_gradient_clipping(None, 0.0, algorithm)  # type: ignore[arg-type]
        assert model.point.grad.norm() > 0


class Rows(pl.loggers.logger.DummyLogger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append(metrics)


def test_the_count_is_logged_and_the_mean_hides_nothing() -> None:
    logger = Rows()
    fit(Fragile(OPTIMIZERS["fused"], {2}), logger=logger)
    rows = [r for r in logger.rows if "train/loss" in r]
    assert [r["train/skipped_steps"] for r in rows] == [0, 1, 1, 1]
    assert [math.isfinite(r["train/loss"]) for r in rows] == [True, False, True, True]
    assert [math.isfinite(r["grad_norm"]) for r in rows] == [True] * 4  # of steps 1, 3, 5, 7


def test_averaged_weights_stay_finite() -> None:
    model = Fragile(OPTIMIZERS["fused"], {1, 6})
    fit(model, AveragedWeights(decay=0.5))
    for p in model.parameters():
        assert p.isfinite().all()


class Watched(AveragedWeights):
    """Remembers the parameters after each step."""

    def on_train_batch_end(self, trainer, pl_module, *args) -> None:
        super().on_train_batch_end(trainer, pl_module, *args)
        self.seen.append([p.detach().clone() for p in pl_module.parameters()])


@pytest.mark.parametrize("decay", [0.5, 0.9999])
def test_averages_follow_their_definition_and_leave_integers_alone(decay: float) -> None:
    model, average = Fragile(OPTIMIZERS["fused"], set()), Watched(decay)
    model.register_buffer("order", torch.arange(784))
    average.seen = []
    fit(model, average)
    assert torch.equal(model.order, torch.arange(784))
    for p, first, *later in zip(model.parameters(), *average.seen, strict=True):
        expected = first
        for n, value in enumerate(later, 1):
            now = min(decay, n / (9 + n))
            expected = now * expected + (1 - now) * value
        torch.testing.assert_close(p.detach(), expected)


@pytest.mark.parametrize(
    ("way", "named"), [("nan", "train/loss"), ("gradient alone", "train/grad_norm")]
)
def test_too_many_stop_training(way: str, named: str) -> None:
    model = Fragile(OPTIMIZERS["fused"], {1, 2, 3}, way)
    model.max_skipped_steps = 2
    with pytest.raises(GdlError, match=rf"{named} is NaN or infinite at step \d, and 3 steps"):
        fit(model)
    assert all(p.isfinite().all() for p in model.parameters())
    model = Fragile(OPTIMIZERS["fused"], {1, 2, 3}, way)
    model.max_skipped_steps = 3
    fit(model)


def test_the_count_goes_on_after_an_interruption(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    fit(Fragile(OPTIMIZERS["fused"], {1, 2})).save_checkpoint(file)
    resumed = Fragile(OPTIMIZERS["fused"], {0})
    fit(resumed, resume=file, max_epochs=2)
    assert resumed.skipped_steps == 3


def test_processes_agree_and_a_gradient_scaler_decides_by_itself() -> None:
    model = Fragile(OPTIMIZERS["fused"], set())
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer, steps = OPTIMIZERS["adamax"](model.parameters()), NonFiniteSteps()
    steps.watch(torch.ones(()))
    steps.check(optimizer, torch.ones_like, None)  # another process found something
    assert model.point.grad is None
    assert steps.count == 1
    model.point.grad = torch.full_like(model.point, math.inf)
    for loss, count in ((1.0, 1), (math.nan, 2)):
        steps.watch(torch.tensor(loss))
        steps.check(optimizer, lambda t: t, torch.amp.GradScaler("cpu"))
        assert model.point.grad is not None
        assert steps.count == count
