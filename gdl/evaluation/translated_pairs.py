"""How well a model of pairs translates sources that it has not seen, beside copying and looking up."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import Continues, Incapable, refuse
from gdl.data.alphabets import alphabet_of
from gdl.data.base import ImageData
from gdl.data.listing import printable
from gdl.data.pairs import HasPairs
from gdl.errors import GdlError
from gdl.evaluation.host import Host
from gdl.evaluation.nearest_sources import nearest_sources
from gdl.evaluation.translation_scores import scores_of_texts, tokenization
from gdl.evaluation.units import at_least_one, known_split
from gdl.families.base import GenerativeModel
from gdl.families.drawing import Drawing
from gdl.families.terms import with_error
from gdl.families.translations import translate
from gdl.files import write_atomically

__all__ = ["translation"]

Pairs = Sequence[tuple[str, str]]


@torch.inference_mode()
def translation(
    model: GenerativeModel,
    data: ImageData,
    host: Host,
    split: str = "test",
    temperature: float = 0.0,
    tokens: str | None = None,
    mistakes: int = 100,
    batch_size: int = 500,
    seed: int = 0,
    limit: int | None = None,
) -> dict[str, float]:
    """Return how near translations of held-out sources are to their targets, and write mistakes.txt.

    Each source is translated once, and any of its targets is right. Keys are
    translation/{method}/{number}, or translation-{split}/... of another split than "test", where the
    method is "model", "model-{temperature}" of another one than 0, or a baseline: "copying" answers
    with the source, "nearest" with the target of the training pair whose source is most similar, see
    `nearest_sources`. Each has, in percent,

    - exact: how many translations are a target of their source, with its standard error exact_se;
    - chrf: see `gdl.evaluation.translation_scores.chrf`;
    - bleu-{tokens}: BLEU as sacreBLEU counts it, with these tokens.

    The model also has nats_per_pair, -log p(target | source) with the new line that ends the target,
    and bits_per_symbol, the same in bits over all symbols of targets and their ends, both with
    standard errors. If there are some, "cut" is how many translations did not end in the window.
    translation/pairs and translation/sources are how many there were.

    Args:
        model: A model of pairs that continues texts, in eval mode.
        data: Pairs.
        host: Says where the file of mistakes goes.
        split: Whose pairs are translated.
        temperature: Divides the logits; 0 takes the most likely symbol each time.
        tokens: "13a" or "char"; None takes what fits the training targets, see `tokenization`.
        mistakes: How many wrong translations are written.
        batch_size: Sources at a time.
        seed: Seeds draws at a temperature above 0.
        limit: Only the first so many pairs.

    Raises:
        Incapable: The data are no pairs, or the model does not continue texts.
        GdlError: An option is out of range, or the split has no pairs.
    """
    if not isinstance(data, HasPairs) or model.shape[:2] != (1, 1):
        raise Incapable(
            "measure=translation asks for pairs of source and target, and these are other data: use a "
            "run of data=pairs."
        )
    if not isinstance(model, Continues):
        refuse(model, Continues, "measure=translation asks for what follows a source", models)
    _check(split, temperature, tokens, {"mistakes": mistakes, "batch_size": batch_size})
    if limit is not None:
        at_least_one("limit", limit)
    name = "translation" if split == "test" else f"translation-{split}"
    file = host.table("mistakes.txt")
    pairs, known = data.pairs(split)[:limit], data.pairs("train")
    targets = _targets(pairs)
    sources, wanted = [*targets], [*targets.values()]
    found = _likelihood(model, data.images(split)[:limit], pairs, batch_size)
    how = Drawing(seed, temperature)
    texts, cut = translate(model, sources, how, batch_size)
    found = {f"{name}/model/{key}": value for key, value in found.items()}
    own = "model" if temperature == 0 else f"model-{temperature:g}"
    if cut:
        found[f"{name}/{own}/cut"] = len(cut)
        print(
            f"note: {len(cut):,} of {len(texts):,} translations do not end in the window, cut there."
        )
    tokens = tokens or tokenization([target for _, target in known])
    nearest = nearest_sources(sources, [source for source, _ in known])
    methods = {own: texts, "copying": sources, "nearest": [known[i][1] for i in nearest]}
    for method, some in methods.items():
        scores = scores_of_texts(some, wanted, tokens)
        found |= {f"{name}/{method}/{key}": value for key, value in scores.items()}
    write_atomically(file, _mistakes(targets, texts, mistakes))
    return found | {f"{name}/pairs": len(pairs), f"{name}/sources": len(sources)}


def _check(split: str, temperature: float, tokens: str | None, numbers: dict[str, object]) -> None:
    known_split(split)
    if tokens not in (None, "13a", "char"):
        raise GdlError(f"There is no measure.tokens={tokens}: use 13a, char or null.")
    if not isinstance(temperature, int | float) or not 0 <= temperature < math.inf:
        raise GdlError(f"measure.temperature must be at least 0, got {temperature!r}.")
    for option, value in numbers.items():
        at_least_one(f"measure.{option}", value)


def _targets(pairs: Pairs) -> dict[str, list[str]]:
    """Return all targets of each source, in the order of the sources."""
    found: dict[str, list[str]] = {}
    for source, target in pairs:
        found.setdefault(source, []).append(target)
    return found


def _likelihood(
    model: GenerativeModel, images: Tensor, pairs: Pairs, batch_size: int
) -> dict[str, float]:
    """Return the nats of a pair, and the bits of a symbol of its target, with standard errors."""
    batches = images.split(batch_size)
    nats = torch.cat([model.nll(x.to(model.device)).double().cpu() for x in batches])
    alphabet = alphabet_of(model.config)
    assert alphabet is not None
    sizes = torch.tensor([len(alphabet.encode(target)) + 1 for _, target in pairs]).double()
    bits, mean = nats / math.log(2), sizes.mean()
    # the error of a ratio of means: what a pair takes more than its length explains
    each = bits.mean() / mean + (bits - bits.mean() / mean * sizes) / mean
    return with_error("nats_per_pair", nats) | with_error("bits_per_symbol", each)


def _mistakes(targets: dict[str, list[str]], texts: Sequence[str], most: int) -> str:
    """Return the first wrong translations as text: a source, what was wanted, and what came."""
    wrong = [
        (source, wanted, text)
        for (source, wanted), text in zip(targets.items(), texts, strict=True)
        if text not in wanted
    ]
    shown = f", the first {most:,}" if len(wrong) > most else ""
    parts = [f"{len(wrong):,} of {len(texts):,} translations are wrong{shown}\n"]
    for source, wanted, text in wrong[:most]:
        lines = [("source", source), *(("wanted", right) for right in wanted), ("got", text)]
        parts.append("".join(f"{name:<8}{printable(line)}\n" for name, line in lines))
    return "\n".join(parts)
