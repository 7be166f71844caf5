"""Encoder and decoder as ONNX, compared with the model by onnxruntime."""

from pathlib import Path
from typing import Any

import torch

from gdl.errors import GdlError
from gdl.export.coders import BATCHES, Coder, coders, largest_difference, program_of, quiet
from gdl.export.subject import Subject, Written
from gdl.exported import NO_LIBRARY
from gdl.files import write_atomically
from gdl.version import __version__

__all__ = ["write_onnx"]

MANY = 1500
"""Operations from which on the exporter of PyTorch is slow: some hundredths of a second for each."""


def write_onnx(subject: Subject, folder: Path) -> Written:
    """Write encoder.onnx and decoder.onnx into a folder; see `coders` for what goes in and comes out.

    Raises:
        GdlError: The model has none, ONNX cannot express them, the file differs from the model, or
            the libraries are not installed.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  what the exporter of PyTorch needs
    except ImportError as e:
        raise GdlError(
            f"format=onnx needs the libraries onnx, onnxscript and onnxruntime: {NO_LIBRARY}."
        ) from e
    written, versions = Written(), ""
    for coder in coders(subject.model, "format=onnx"):
        proto = _converted(coder)
        path = folder / f"{coder.name}.onnx"
        write_atomically(path, proto.SerializeToString())
        difference = largest_difference(coder, _runner(path, coder))
        written.files[path.name] = f"a graph {coder.signature()}"
        opset = next(o.version for o in proto.opset_import if o.domain == "")
        versions = f"onnxruntime {onnxruntime.__version__}, opset {opset}"
        written.notes.append(
            f"The {coder.name} was compared with PyTorch on batches of "
            f"{', '.join(map(str, BATCHES))}: the largest difference is {difference:.1e} ({versions})."
        )
    label = ', "y": y' if subject.model.num_classes else ""
    written.usage = (
        "import numpy as np\nimport onnxruntime\n\n"
        f"{subject.example_inputs()}\n"
        'encoder = onnxruntime.InferenceSession("FOLDER/encoder.onnx")\n'
        'decoder = onnxruntime.InferenceSession("FOLDER/decoder.onnx")\n'
        f'mean, *_ = encoder.run(None, {{"x": x{label}}})\n'
        f'image = decoder.run(["image"], {{"z": mean{label}}})[0]'
    )
    return written


def _converted(coder: Coder) -> Any:
    """Return a coder as an `onnx.ModelProto`.

    Raises:
        GdlError: ONNX cannot express it.
    """
    import onnx

    program = program_of(coder)
    if (number := len(program.graph.nodes)) > MANY:
        print(
            f"The {coder.name} has {number:,} operations, so writing it takes some minutes.",
            flush=True,
        )
    try:
        with quiet(), torch.no_grad():
            converted = torch.onnx.export(
                program,
                dynamo=True,
                input_names=[*coder.inputs],
                output_names=[*coder.outputs],
                external_data=False,
            )
            assert converted is not None
            proto = converted.model_proto
            onnx.checker.check_model(proto)
    except Exception as e:  # of many kinds
        name = type(coder.module.model).__name__
        raise GdlError(
            f"ONNX cannot express the {coder.name} of {name}: use format=torch or format=safetensors."
        ) from e
    for node in [*proto.graph.node, *(n for f in proto.functions for n in f.node)]:
        del node.metadata_props[:]  # have paths of this machine
    onnx.helper.set_model_props(proto, {"gdl": __version__})
    return proto


def _runner(path: Path, coder: Coder) -> Any:
    """Return what computes the outputs of a file from inputs by name."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        found = session.run([*coder.outputs], {name: x.numpy() for name, x in inputs.items()})
        return [torch.from_numpy(array) for array in found]

    return run
