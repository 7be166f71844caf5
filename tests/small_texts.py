"""Small texts, and small models of them with random weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gdl.data import ImageData, Split
from gdl.data.alphabets import Alphabet
from gdl.distributions import Categorical
from gdl.families.base import GenerativeModel
from gdl.models import FVSBN, MADE, NADE, Transformer

CHARACTERS = "\n abc\xe9"  # the last takes two bytes


class SmallText(ImageData):
    """A text whose three splits are the same, in windows of L symbols."""

    def __init__(self, text: str | bytes, length: int, characters: str | None) -> None:
        self._symbols = Alphabet(characters)
        super().__init__(shape=[1, 1, length], levels=len(self._symbols))
        content = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
        self._text, self.characters = self._symbols.encode(content), characters

    def encode(self, text: str) -> Tensor:
        return self._symbols.encode(text)

    def decode(self, x: Tensor) -> str:
        return self._symbols.decode(x)

    def stream(self, split: str) -> Tensor:
        return self._text

    def load(self) -> dict[str, Split]:
        length = self.shape[2]
        windows = self._text[: len(self._text) // length * length].view(-1, 1, 1, length)
        return dict.fromkeys(("train", "val", "test"), (windows, None))


MODELS: dict[str, tuple[Callable[..., GenerativeModel], dict[str, Any]]] = {
    "fvsbn": (FVSBN, {}),
    "made": (MADE, {"hidden": [16]}),
    "made of three masks": (MADE, {"hidden": [16], "num_masks": 3}),
    "nade": (NADE, {"hidden": 8}),
    "transformer": (Transformer, {"width": 8, "blocks": 1, "heads": 2}),
}


def build_text_model(
    name: str, length: int, characters: str | None = CHARACTERS, **options: Any
) -> GenerativeModel:
    """Return a model of windows of a text, with random weights, in eval mode and in float64."""
    torch.manual_seed(0)
    make, own = MODELS[name]
    levels = len(Alphabet(characters))
    model = make((1, 1, length), levels, likelihood=Categorical, **(own | options)).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.5 * torch.randn_like(p))
    model.config = {"alphabet": characters}
    return model


def some_text(n: int, seed: int = 0) -> str:
    """Return n characters of `CHARACTERS`."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(CHARACTERS), (n,), generator=generator)
    return Alphabet(CHARACTERS).decode(drawn)
