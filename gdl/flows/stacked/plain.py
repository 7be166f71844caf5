"""The plain form of a stacked bijection, on the same parameters."""

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from gdl.flows.base import Bijection, Chain, DataInitialized

__all__ = ["Stacked", "lend"]


class Stacked(Bijection):
    """K bijections as one layer: their parameters of a kind are one tensor (K, ...)."""

    @abstractmethod
    def plain(self) -> Chain:
        """Return the same map as a chain of K bijections of `gdl.flows`, the reference in tests.

        They compute with this layer's parameters as they are now, and have none of their own:
        gradients go to the stacks. After an update of the parameters ask for them again.
        """

    def layers(self) -> list[Bijection]:
        """See `Bijection.layers`."""
        return self.plain().layers()


def lend(bijection: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors in the place of all parameters and buffers of a bijection.

    The tensors may be views or functions of other parameters, which gradients then reach.

    Args:
        bijection: It may be on the device "meta", where building it costs nothing.
        tensors: One for each name in the bijection's state.
    """
    for name in bijection.state_dict():
        owner, _, attribute = name.rpartition(".")
        module = bijection.get_submodule(owner)
        delattr(module, attribute)  # no longer a parameter or buffer, so any tensor may follow
        setattr(module, attribute, tensors[name])
    for module in bijection.modules():
        if isinstance(module, DataInitialized):
            module.read_initialized()
