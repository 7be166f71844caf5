"""A network as a list of operations on tensors, as plain data that another language can run."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gdl.errors import GdlError
from gdl.explorer.flow_ops import FLOW_OPS
from gdl.explorer.likelihood_ops import LIKELIHOOD_OPS
from gdl.explorer.ops import OPS

__all__ = ["Graph", "Weights"]

KNOWN = OPS | LIKELIHOOD_OPS | FLOW_OPS


class Weights:
    """The tensors of one or several graphs, each kept once."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._known: dict[tuple[Any, ...], int] = {}

    def add(self, tensor: Tensor) -> int:
        """Return the index of a tensor; numbers that several layers or graphs share are stored once.

        Raises:
            GdlError: A number of it is infinite or not a number.
        """
        # layers may share a parameter, or take views of it; the list keeps the memory from being reused
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if place not in self._known:
            if not tensor.isfinite().all():
                raise GdlError(
                    "A weight of the model is infinite or not a number, so there is nothing to show: "
                    "choose another run, or an earlier checkpoint."
                )
            self._known[place] = len(self.tensors)
            self.tensors.append(tensor)
        return self._known[place]


class Graph:
    """Operations in the order in which they run. Values are numbered: inputs first, then results.

    Every value has the batch as its first dimension.

    Args:
        inputs: Names of the inputs.
        weights: Where the tensors are kept.
    """

    def __init__(self, inputs: Sequence[str], weights: Weights) -> None:
        self.inputs, self.weights = tuple(inputs), weights
        self.nodes: list[dict[str, Any]] = []
        self.outputs: dict[str, int] = {}

    def add(
        self,
        op: str,
        *inputs: int,
        tensors: Mapping[str, Tensor | None] | None = None,
        **options: Any,
    ) -> int:
        """Append an operation and return the number of its result.

        Args:
            op: Its name in `gdl.explorer.ops.OPS` or `gdl.explorer.likelihood_ops.LIKELIHOOD_OPS`.
            inputs: Numbers of the values it takes.
            tensors: Weights, by the name of the argument; None is left out.
            options: Plain values, by the name of the argument.
        """
        kept = {k: self.weights.add(t) for k, t in (tensors or {}).items() if t is not None}
        self.nodes.append({"op": op, "in": [*inputs], "tensors": kept, **options})
        return len(self.inputs) + len(self.nodes) - 1

    def plain(self) -> dict[str, Any]:
        """Return the graph as plain data; the tensors are indices."""
        return {"inputs": [*self.inputs], "nodes": self.nodes, "outputs": self.outputs}

    @torch.inference_mode()
    def run(
        self, values: Mapping[str, Tensor], tensors: Sequence[Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return the outputs by name in float32, as the page computes them.

        Args:
            values: The inputs by name, each (B, ...).
            tensors: The weights as the page has them; by default as they are.
        """
        tensors = self.weights.tensors if tensors is None else tensors
        tensors = [t.detach().float() for t in tensors]
        found = [values[name].float() for name in self.inputs]
        for node in self.nodes:
            options = {k: v for k, v in node.items() if k not in ("op", "in", "tensors")}
            own = {k: tensors[i] for k, i in node["tensors"].items()}
            found.append(KNOWN[node["op"]](*(found[i] for i in node["in"]), **own, **options))
        return {name: found[i] for name, i in self.outputs.items()}
