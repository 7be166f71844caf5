"""What is a statistic of a batch is one of the whole batch, on however many processes it is.

Two processes compute loss, gradients and running averages of parts of one batch, for each option of
each model; together these are those of one process. tests/test_ddp.py trains a few of them.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from small_models import build_small
from torch import Tensor

import gdl.models
from gdl.capabilities import InitializesFromData
from gdl.corruptions import MissingPatch, MissingPixels, SaltAndPepper
from gdl.distributions import (
    Categorical,
    DiscretizedGaussian,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
)
from gdl.families.base import GenerativeModel
from gdl.nn.dropout import Dropout
from gdl.noise import seed_noise
from gdl.part import Part, current_part

SHAPE, LEVELS, NUM = (1, 8, 8), 17, 7
X = torch.randint(LEVELS, (NUM, *SHAPE), dtype=torch.uint8)
Y = torch.arange(NUM) % 3

LIKELIHOODS = [
    Categorical,
    DiscretizedGaussian,
    partial(DiscretizedGaussian, variance="learned"),
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
]
VALUES: dict[str, list[Any]] = {
    "beta": [4.0],
    "gamma": [4.0],
    "objective": ["squared"],
    "corruption": [MissingPatch(4), MissingPixels(), SaltAndPepper()],
    "discriminator_lr": [1e-3],
    "kl_warmup_steps": [10],
    "free_bits": [0.02, 0.3],
    "num_importance_samples": [3],
    "num_masks": [3],
    "order": ["random"],
    "dropout": [0.5],
    "dequantization": ["variational"],
    "checkpoint_conditioners": [True],
    "reversible": [True],
    "net_norm": [False],
    "coupling": [],  # see COUPLINGS
    "alpha": [0.1],
    "prior": ["normal"],
    "num_classes": [3],
    "tokens": [True],
    "positions": ["rotary"],
    "mlp": ["swiglu"],
    "tied": [],  # see BOTH
    "ends": [],  # of pairs of texts only
}
"""Values of each option that is no size."""
COUPLINGS = {"Glow": "additive", "RealNVP": "affine"}
SIZES = {
    "encoder", "decoder", "latent_dim", "hidden", "num_couplings", "init_range", "num_levels", "depth",
    "width", "layers", "first_kernel", "kernel", "blocks", "resolutions", "num_scales", "mixtures",
    "heads", "window", "noise_couplings", "noise_width", "standardize", "whiten",
    "discriminator", "network",
}  # fmt: skip
BOTH: list[tuple[str, dict[str, Any]]] = [
    ("VAE", {"likelihood": DiscretizedGaussian, "num_importance_samples": 3}),
    ("VAE", {"likelihood": DiscretizedGaussian, "free_bits": 0.1}),
    ("Transformer", {"tokens": True, "tied": True}),
]


def options_of(name: str) -> list[str]:
    signature = inspect.signature(getattr(gdl.models, name).__init__)
    return [p for p in signature.parameters if p not in ("self", "shape", "levels")]


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in gdl.models.__all__:
        yield name, {}
        if "label_dropout" in options_of(name):
            yield name, {"num_classes": 3, "label_dropout": 0.4}
        for option in set(options_of(name)) - SIZES - {"likelihood", "label_dropout"}:
            known = VALUES[option] if option != "coupling" else [COUPLINGS[name]]
            yield from ((name, {option: value}) for value in known)
        for likelihood in LIKELIHOODS if "likelihood" in options_of(name) else []:
            # of the others one has a statistic; PixelCNN++ has a likelihood of its own
            if name == "VAE" or (likelihood is DiscretizedGaussian and name != "PixelCNNpp"):
                yield name, {"likelihood": likelihood}
    yield from BOTH


CASES = list(cases())


def step(name: str, options: dict[str, Any], part: Part) -> dict[str, Tensor]:
    """Return the gradients and buffers after a step on a part of the images."""
    torch.manual_seed(0)
    model: GenerativeModel = build_small(name, SHAPE, LEVELS, **options)
    if isinstance(model, InitializesFromData):
        model.initialize(X)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.05 * torch.randn_like(p)  # zeros would hide what depends on them
    model.train()
    seed_noise(torch.device("cpu"), "test", part=part)
    mine = slice(part.first, part.first + max(1, part.count))
    labels = [Y[mine]] if model.num_classes else []
    loss = model.loss(X[mine], *labels)["loss"].mean() * part.weight
    loss.backward()
    found = {"loss": loss.detach()}
    found |= {f"gradient {k}": p.grad for k, p in model.named_parameters() if p.grad is not None}
    return found | {f"buffer {k}": b.double() for k, b in model.named_buffers()}


def process(rank: int, folder: str, total: int, todo: list[tuple[str, dict[str, Any]]]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet{total}", world_size=2, rank=rank)
    results = []
    for name, options in todo:
        found = step(name, options, Part.of(total, rank, 2))
        shared = [v for k, v in found.items() if not k.startswith("buffer")]
        mean = torch.cat([v.flatten() for v in shared])
        dist.all_reduce(mean)  # as DistributedDataParallel does
        for value, part in zip(shared, (mean / 2).split([v.numel() for v in shared]), strict=True):
            value.copy_(part.view_as(value))
        results.append(found)
    torch.save(results, f"{folder}/{total}-{rank}.pt")
    dist.destroy_process_group()


def apart(todo: list[tuple[str, dict[str, Any]]], total: int, folder: Path) -> list[list[Any]]:
    """Return what each of two processes finds."""
    torch.multiprocessing.start_processes(  # pyright: ignore[reportPrivateImportUsage]
        process, (str(folder), total, todo), nprocs=2, start_method="fork"
    )
    return [torch.load(folder / f"{total}-{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("total", [7, 1])  # four and three images; one and none
def test_two_processes_take_the_step_of_one(total: int, tmp_path: Path) -> None:
    todo = CASES if total > 1 else [c for c in CASES if c[0] in ("VAE", "PixelCNN")]
    both = apart(todo, total, tmp_path)
    for (name, options), *found in zip(todo, *both, strict=True):
        one = step(name, options, Part(0, total, total))
        for other in found:
            assert other.keys() == one.keys()
            for key, value in one.items():
                torch.testing.assert_close(
                    other[key],
                    value,
                    rtol=2e-4,
                    atol=2e-5 * max(1.0, float(value.double().abs().max())),
                    msg=lambda text, key=key, at=(name, options): f"{at} {key}: {text}",
                )


def test_every_option_is_in_the_table() -> None:
    for name in gdl.models.__all__:
        left = set(options_of(name)) - VALUES.keys() - SIZES - {"likelihood", "label_dropout"}
        assert not left, f"{name}: say whether {left} are sizes, or give values to try"


def test_a_part_ends_with_the_next_seed() -> None:
    draw: Callable[[], Tensor] = lambda: torch.rand(3)  # noqa: E731
    seed_noise(torch.device("cpu"), 1, part=Part.of(7, 1, 2))
    assert current_part() == Part.of(7, 1, 2)
    seed_noise(torch.device("cpu"), 1, part=Part.of(7, 0, 1))
    assert current_part() is None
    first = draw()
    seed_noise(torch.device("cpu"), 1)
    assert current_part() is None
    assert torch.equal(draw(), first)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.9, 1.0])
def test_dropout_is_pytorchs_in_one_process(p: float) -> None:
    x = torch.randn(40, 3, 5)
    layer = Dropout(p)
    seed_noise(torch.device("cpu"), "dropout")
    ours = layer(x)
    seed_noise(torch.device("cpu"), "dropout")
    assert torch.equal(ours, torch.nn.functional.dropout(x, p))
    assert layer.eval()(x) is x


def test_the_parts_of_dropout_are_those_of_the_whole() -> None:
    x, layer = torch.randn(7, 3, 5), Dropout(0.4)

    def dropped(part: Part) -> Tensor:
        seed_noise(torch.device("cpu"), "dropout", part=part)
        return layer(x[part.first : part.first + part.count])

    parts = [dropped(Part.of(7, rank, 3)) for rank in range(3)]
    assert torch.equal(torch.cat(parts), dropped(Part.of(7, 0, 1)))


def test_the_remembered_variance_is_an_average_over_many_batches() -> None:
    likelihood = DiscretizedGaussian((1, 4, 4), 256)
    x = torch.full((8, 1, 4, 4), 128, dtype=torch.uint8)
    for i in range(400):
        # batches with small and large errors in turn
        likelihood.log_prob(likelihood._scaled(x, torch.zeros(())) + (0.1 if i % 2 else 0.4), x)
    assert float(likelihood.log_std.exp()) == pytest.approx((0.1 * 0.4) ** 0.5, rel=0.05)
