"""What a run is called where many runs are listed."""

from collections.abc import Sequence

__all__ = ["readable_name"]

PLUMBING = (
    *("model", "data", "experiment", "seed", "logger", "callbacks", "trainer", "hydra", "sweep"),
    *("resume", "run_dir", "data_dir", "config_dir", "trust", "checkpoint_every"),
)
"""Keys of overrides that are in the name already, or do not change what a run computes."""

LONGEST = 100


def readable_name(choices: Sequence[str | None], overrides: Sequence[str], seed: int) -> str:
    """Return a name such as vae-digits-latent_dim=8-seed0.

    Args:
        choices: Model and data, and the experiment if there is one.
        overrides: What the run was started with; those that fit into the name are in it.
        seed: The seed of the run.
    """
    name = "-".join(choice for choice in choices if choice)
    end = f"-seed{seed}"
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key in PLUMBING or key.startswith(
            ("logger.", "trainer.", "callbacks.", "hydra", "sweep.")
        ):
            continue
        setting = f"-{key.partition('@')[0].rpartition('.')[2]}={value}"
        if len(name + setting + end) <= LONGEST:
            name += setting
    return name + end
