"""Posterior collapse, told in a sentence: latents that carry nothing."""

from typing import Any

__all__ = ["active_latents", "collapse", "unused_latents"]

SMALL_RATE = 0.5
"""Nats; latents that carry less tell hardly any two images apart."""


def unused_latents(metrics: dict[str, Any]) -> str | None:
    """Return a sentence if the latents carry next to nothing, so that all samples look alike."""
    rate, active = metrics.get("test/rate"), metrics.get("active_units")
    found = []
    if rate is not None and rate < SMALL_RATE:
        found.append(f"the rate is {rate:.2g} nats")
    if active is not None and active < 1:
        found.append("no latent is active")
    if not found:
        return None
    return (
        f"The model does not use its latents ({', '.join(found)}), so all its samples look alike: "
        "lower model.beta, raise model.kl_warmup_steps, or train longer."
    )


def active_latents(metrics: dict[str, Any]) -> str | None:
    """Return a sentence if only some latents carry something.

    >>> active_latents({"active_units": 3, "latents/number": 32})
    '3 of 32 latents are active; the others carry next to no information.'
    """
    active, number = metrics.get("active_units"), metrics.get("latents/number")
    if active is None or number is None or not 1 <= active < number:
        return None
    are = "is" if active == 1 else "are"
    others = "other carries" if number - active == 1 else "others carry"
    return (
        f"{active:.2g} of {number:.4g} latents {are} active; the {others} next to no information."
    )


def collapse(metrics: dict[str, Any]) -> str | None:
    """Return the sentence of `unused_latents`, else that of `active_latents`, else None."""
    return unused_latents(metrics) or active_latents(metrics)
