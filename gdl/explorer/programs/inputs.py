"""What the networks of a model see: scaled images and codes, with what depends on the label."""

from gdl.explorer.graph import Graph, Weights
from gdl.explorer.layers import written
from gdl.families.base import GenerativeModel
from gdl.nn.labels import LabelledCodes, LabelledImages

__all__ = ["graph_of", "labelled_codes", "labelled_images", "scaled"]


def graph_of(model: GenerativeModel, weights: Weights, *inputs: str) -> Graph:
    """Return an empty graph with these inputs, and "y" of a conditional model as the last."""
    return Graph([*inputs, *(["y"] if model.num_classes else [])], weights)


def scaled(model: GenerativeModel, graph: Graph) -> int:
    """Append what `GenerativeModel.scale` does to the input "x"."""
    assert model.levels is not None
    x = graph.inputs.index("x")
    return graph.add("affine", x, scale=2 / (model.levels - 1), shift=-1)


def labelled_images(model: GenerativeModel, graph: Graph, labels: LabelledImages | None) -> int:
    """Append the scaled images, with the image of their label added."""
    x = scaled(model, graph)
    return x if labels is None else written(labels, graph, x, graph.inputs.index("y"))


def labelled_codes(graph: Graph, labels: LabelledCodes | None) -> int:
    """Append the input "z", with the code of its label behind it."""
    z = graph.inputs.index("z")
    return z if labels is None else written(labels, graph, z, graph.inputs.index("y"))
