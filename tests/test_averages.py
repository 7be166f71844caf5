"""callbacks=ema with decay=0 is the same as no average, bit for bit, whatever else training changes."""

from pathlib import Path

import pytest
import torch
import yaml
from runs_in_process import assert_equal, numbers, rows, train, train_and_kill, weights
from small_models import small

from gdl.commands.conf import CONF

VAE = ["model=vae", "model.latent_dim=2", "model.encoder.hidden=[8]", "model.decoder.hidden=[8]"]
GAUSSIAN = [*VAE, "likelihood@model.likelihood=gaussian"]
SAMPLE = {
    "optimal variance": GAUSSIAN,
    "warm-up": [*VAE, "model.kl_warmup_steps=5"],
    "masks": ["model=made", "model.hidden=[8]", "model.num_masks=3", "model.order=random"],
    "gathered gradients": [
        *GAUSSIAN,
        "trainer.accumulate_grad_batches=3",
        "+trainer.val_check_interval=2",
    ],
}


def names(group: str) -> list[str]:
    return sorted(path.stem for path in Path(CONF, group).glob("*.yaml"))


def every() -> list[list[str]]:
    """Return the options of every model, and of a VAE with every likelihood that takes 17 levels."""
    models = [
        [f"model={name}", *small(name)]
        for name in names("model")
        if yaml.safe_load((CONF / "model" / f"{name}.yaml").read_text())
    ]
    likelihoods = [
        [*VAE, f"likelihood@model.likelihood={name}"]
        for name in names("likelihood")
        if name != "bernoulli"
    ]
    return models + likelihoods


def assert_no_difference(options: list[str], folder: Path) -> None:
    """Two runs are compared, one of them also after it was killed and resumed."""
    ema = ["callbacks=ema", "callbacks.ema.decay=0"]
    save = "checkpoint_every=1e-9"
    train(folder / "plain", *options)
    train(folder / "averaged", *options, *ema)
    killed = folder / "killed"
    assert train_and_kill(killed, 150, *options, *ema, save) is not None
    assert (killed / "checkpoints" / "last.ckpt").exists()
    train(killed, *options, *ema, save)
    for other in (folder / "averaged", killed):
        assert rows(folder / "plain") == rows(other)
        assert numbers(folder / "plain") == numbers(other)
        for file in ("best", "last"):
            plain = weights(folder / "plain", file)
            assert_equal(plain, weights(other, file))
            assert_equal(plain, weights(other, file, "current_model_state"))
            for a, b in zip(
                *(weights(f, file, "optimizer_states") for f in (folder / "plain", other)),
                strict=True,
            ):
                assert str(a["param_groups"]) == str(b["param_groups"])
                for i, state in a["state"].items():
                    assert all(
                        torch.equal(torch.as_tensor(v), torch.as_tensor(b["state"][i][k]))
                        for k, v in state.items()
                    )


@pytest.mark.parametrize("name", SAMPLE)
def test_an_average_without_memory_changes_nothing(name: str, tmp_path: Path) -> None:
    assert_no_difference(SAMPLE[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("options", every(), ids=lambda o: " ".join((o[0], o[-1])))
def test_it_changes_nothing_for_any_model(options: list[str], tmp_path: Path) -> None:
    assert_no_difference(options, tmp_path)


def test_a_run_that_was_averaged_is_tested_with_the_average_also_without_a_best(
    tmp_path: Path,
) -> None:
    """And training goes on from the current weights, also from a checkpoint written after it."""
    options = [*GAUSSIAN, "callbacks=ema", "callbacks.ema.decay=0.9", "trainer.max_epochs=1"]
    last = "trainer.check_val_every_n_epoch=2"  # the only validation comes after training
    train(tmp_path / "best", *options, last)
    train(tmp_path / "none", *options, last, "callbacks.checkpoint=null")
    tested = [numbers(tmp_path / f)["test/nll"] for f in ("best", "none")]
    assert tested[0] == tested[1]
    for part in ("state_dict", "current_model_state"):
        assert_equal(
            weights(tmp_path / "best", "best", part), weights(tmp_path / "best", "last", part)
        )
    state = weights(tmp_path / "best")
    assert any(
        not torch.equal(value, state[name])
        for name, value in weights(tmp_path / "best", "best", "current_model_state").items()
    )
