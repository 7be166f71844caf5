"""What model a page shows: its name, its likelihood with its kind, the command, the commit."""

from collections.abc import Iterator
from html import escape
from math import prod
from typing import Any

from gdl.errors import GdlError
from gdl.explorer.subject import Subject, short
from gdl.runs.metrics import BOUNDS, GIVEN_LABEL, about_data, data_name, not_whole, unit

__all__ = ["brief_html", "facts", "facts_html", "meaning"]

MEANINGS = {
    "exact": "-log p(x) itself",
    "bound": "an upper bound of -log p(x), the negative ELBO: rate + distortion",
    "iwae": "the importance-weighted bound of -log p(x), K samples an image; it tightens as K grows",
    "dequant": "an upper bound of -log P(x), from K samples of uniform noise an image",
    "vardeq": "an upper bound of -log P(x), from K samples an image of noise that was learned",
    "given": "-log p(x given the label): no likelihood of the image alone",
}
"""What the kinds of likelihoods mean, by the first word of the kind."""

MOST = 5_000
"""Characters of a fact, at most; a long command has 1,000."""

NO_LIKELIHOOD = "none: this model is no distribution, so it has no likelihood"


def facts(subject: Subject) -> dict[str, Any]:
    """Return the facts of a model, as far as its run knows them.

    Returns:
        "title"; "list", pairs of name and text in the order of the page; "brief", the few pairs that
        stand in its header; "notes", what explains the text of a name.
    """
    model, run = subject.model, subject.run
    metrics, record = _known(lambda: subject.metrics), _known(run.record_facts)
    name = type(model).__name__
    data = data_name(metrics) if metrics.get("data") else str(record.get("data") or "")
    data = data or type(subject.data).__name__
    scores = dict(_scores(metrics))
    params = f"{sum(p.numel() for p in model.parameters()):,}"
    latents = "x".join(map(str, getattr(model, "latent_shape", ())))
    limited = not_whole(metrics)
    pairs = [
        ("run", run.path.name),
        ("model", name),
        ("data", "; ".join(filter(None, [data, about_data(metrics)]))),
        *((score, text) for score, (text, _) in scores.items()),
        ("not whole", f"no result, because {limited}" if limited else ""),
        ("latents", latents),
        ("parameters", params),
        ("trained", _training(metrics)),
        ("command", next((str(c) for c in record.get("commands", [])), "")),
        ("commit", str(record.get("git_commit") or "")),
        ("gdl", str(record.get("gdl") or "")),
        ("started", str(record.get("started") or "")),
    ]
    brief = [(k, text if kind else f"no {k}") for k, (text, kind) in [*scores.items()][:1]]
    size = prod(getattr(model, "latent_shape", ()))
    brief += [("latents", f"{size} latent{'s' * (size > 1)}")] if latents else []
    brief += [("parameters", f"{params} parameters")]
    return {
        "title": short(f"{name} on {data}", 300),
        "brief": brief,
        "list": [(key, short(text, MOST)) for key, text in pairs if text],
        "notes": {score: meaning(kind) for score, (_, kind) in scores.items() if kind},
    }


def meaning(kind: str) -> str:
    """Return what a kind of likelihood means; empty for an unknown one.

    >>> meaning("iwae-5000")[:29]
    'the importance-weighted bound'
    """
    return MEANINGS.get(kind.partition("-")[0], "")


def brief_html(known: dict[str, Any]) -> str:
    """Return the few facts of the header; what a kind means is a tooltip, and stands in the list."""
    texts = []
    for name, text in known["brief"]:
        note = known["notes"].get(name)
        shown = f"{name} {text}" if note else text
        hint = f' title="{escape(note)}"' if note else ""
        texts.append(f"<span{hint}>{escape(shown)}</span>")
    return " · ".join(texts)


def facts_html(known: dict[str, Any]) -> str:
    """Return the list of facts as the content of a description list. Texts are escaped."""
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>{_fact_html(name, text, known['notes'].get(name))}</dd></div>"
        for name, text in known["list"]
    )


def _fact_html(name: str, text: str, note: str | None) -> str:
    if name == "command":
        return f'<code id="command">{escape(text)}</code> <button type="button" id="copy">copy</button>'
    # text of a run may be of a script that runs the other way
    shown = f"<bdi>{escape(text)}</bdi>"
    return f'{shown} <span class="note">{escape(note)}</span>' if note else shown


def _scores(metrics: dict[str, Any]) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Yield name, text and kind of each likelihood; a kind of None says that there is none."""
    key, name = unit(metrics)
    kind = metrics.get("kind")
    found = (
        {f"{kind}": (metrics.get(f"test/{key}"), metrics.get(f"test/{key}_se"))} if kind else {}
    )
    for other in metrics:
        bound, _, term = other.partition("/")
        if term == key and other.startswith((*BOUNDS, GIVEN_LABEL)):
            found[bound] = (metrics[other], metrics.get(f"{other}_se"))
    for bound, (value, error) in found.items():
        if not isinstance(value, int | float):
            continue
        around = f" ± {error:.4f}" if isinstance(error, float) else ""
        shown = short(bound, 40)
        title = name if bound == kind else f"{name}, {shown}"
        yield title, (f"{value:.4f}{around} ({shown})", bound)
    if "kind" in metrics and kind is None and not found:
        yield "likelihood", (NO_LIKELIHOOD, None)
        if isinstance(error := metrics.get("test/mse"), int | float):
            yield "squared error", (f"{error:.4f}", None)


def _training(metrics: dict[str, Any]) -> str:
    lengths = [
        f"{metrics[k]:,} {k}" for k in ("epochs", "steps") if isinstance(metrics.get(k), int)
    ]
    seed = metrics.get("seed")
    return ", ".join([*lengths, *([f"seed {seed}"] if lengths and seed is not None else [])])


def _known(read: Any) -> dict[str, Any]:
    """Return what a file of the run says; nothing if it is damaged, as a page can do without."""
    try:
        return read()
    except GdlError:
        return {}
