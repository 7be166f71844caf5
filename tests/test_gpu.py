"""What only a GPU shows: recorded steps, and that training never waits for the device."""

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from gdl.data.digits import Digits
from gdl.families.flow import FlowModel
from gdl.models.glow import Glow
from gdl.models.nice import NICE
from gdl.models.realnvp import RealNVP
from gdl.training import AveragedWeights

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU"),
]

SHAPE, LEVELS = (1, 8, 8), 17


def fused(parameters):
    return torch.optim.Adam(parameters, 1e-3, fused=True)


def images(n: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, LEVELS, (n, *SHAPE), generator=generator, dtype=torch.uint8)
    return x.cuda()


@torch.no_grad()
def glow(compiled: bool, dtype: torch.dtype = torch.float32, **options) -> FlowModel:
    torch.manual_seed(0)
    model = Glow(SHAPE, LEVELS, depth=3, width=32, **options).cuda().to(dtype)
    model.initialize(images(256, 0))
    for p in model.parameters():
        p.add_(0.03 * torch.randn_like(p))
    if compiled:
        model.compile_networks()
    return model.train()


def loss_of(model: FlowModel, x: Tensor) -> Tensor:
    torch.manual_seed(1)
    return model.loss(x)["loss"].mean()


def gradients(model: FlowModel, *batches: Tensor) -> list[Tensor]:
    model.zero_grad()
    torch.stack([loss_of(model, x) for x in batches]).sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("coupling", ["affine", "additive"])
def test_recorded_steps_learn_what_others_do(coupling: str) -> None:
    plain, recorded = (glow(c, torch.float64, coupling=coupling) for c in (False, True))
    a, b, small = images(32, 1), images(32, 2), images(8, 3)
    # the second call records; then other images, a smaller batch, two calls before a backward pass,
    # and other parameters
    for batches in ([a], [a], [b], [small], [a], [b], [a, b], [b], [b]):
        found, expected = gradients(recorded, *batches), gradients(plain, *batches)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-7)
        for model in (plain, recorded):
            with torch.no_grad():
                for p, g in zip(model.parameters(), expected, strict=True):
                    p -= 1e-4 * g
    for model in (plain, recorded):  # gradients of two passes add up
        model.zero_grad()
        for x in (a, b):
            loss_of(model, x).backward()
    for ours, theirs in zip(recorded.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-7, atol=1e-7)
    graphs = [m._compiled._graphs for m in recorded.modules() if getattr(m, "_compiled", None)]
    assert graphs
    assert all(len(g) == 1 for g in graphs)


def test_networks_in_low_precision_are_near() -> None:
    full, low = glow(False), glow(True)
    x = images(64, 1)
    with torch.autocast("cuda", torch.bfloat16):
        for _ in range(3):
            loss = loss_of(low, x)
            loss.backward()
    loss = loss.detach()
    assert loss.dtype == torch.float32
    bits = full.bits_per_dim(float((loss - loss_of(full, x)).detach().abs()))
    assert 0 < bits < 0.02


MODELS = {
    "glow": lambda: glow(True).cpu(),
    "realnvp": lambda: RealNVP(SHAPE, LEVELS, width=8, blocks=1),
    "nice": lambda: NICE(SHAPE, LEVELS, hidden=[32]),
}


class NoWaiting(pl.Callback):
    """Makes torch raise an error where a step waits for the GPU, from the fifth on."""

    def on_train_batch_start(self, trainer, *args) -> None:
        if trainer.global_step >= 5:
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, trainer, *args) -> None:
        if trainer.global_step == trainer.max_steps:
            torch.cuda.set_sync_debug_mode("default")

    def on_exception(self, *args) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_never_waits_for_the_gpu(name: str) -> None:
    model, average = MODELS[name](), AveragedWeights(0.9)
    model.train_with(fused)
    data = Digits(shape=SHAPE, levels=LEVELS, batch_size=64)
    data.prepare_data()
    data.setup()
    data.move_to(torch.device("cuda", 0))
    if name != "glow":
        model.initialize(data.images("train")[:256].cpu())
    trainer = pl.Trainer(
        accelerator="gpu",
        devices=1,
        precision="bf16-mixed",
        gradient_clip_val=1.0,
        max_steps=12,
        limit_val_batches=0,
        log_every_n_steps=100,
        logger=False,
        callbacks=[average, NoWaiting()],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(model, datamodule=data)
    assert trainer.global_step == 12
    assert all(p.is_cuda for p in average._other)
