"""A network as one file for deployment, ONNX or PyTorch's own, written only when it computes the same."""

import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from windfirm.errors import InputError, expected, first_line
from windfirm.files import atomic
from windfirm.models.agree import gaps
from windfirm.models.copies import copied
from windfirm.models.device import type_of
from windfirm.models.mode import switched

FORMATS = ("onnx", "pt2")

#: The largest difference of a logit that an exported file may have, on images that were tried.
TOLERANCE = 1e-4

#: An ONNX file ends here; larger ones need a second file for the weights.
ONNX_LIMIT = 2**31

#: Images that pass at once when a file is checked.
BATCH = 50

Run = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True)
class Exported:
    """``difference``: the largest one between a logit of the network and of the file; ``images``: on how many images;
    ``size``: bytes of the file."""

    difference: float
    images: int
    size: int


def export(
    model: nn.Module, path: Path | str, images: Tensor, format: str, *, tolerance: float = TOLERANCE
) -> Exported:
    """Write ``model``, as in eval mode on the CPU, to the one file ``path``, or nothing.

    ``images`` (b, c, h, w), as the network takes them, say the shape of its input; the batch of the file is dynamic.
    ``format`` is ``onnx`` (needs the extra windfirm[onnx]; input ``images``, and ``logits`` if there is one output) or
    ``pt2`` (torch.export). The file is read again, by onnxruntime or by PyTorch, and runs on all of ``images``, the
    first alone. Raises InputError for a network that does not run or cannot be exported, or when an output differs by
    more than ``tolerance``.
    """
    path, where = Path(path), type(model).__name__
    if format not in FORMATS:
        raise InputError(expected("format", " or ".join(FORMATS), format))
    if format == "onnx":
        _refuse_without_onnx(model)
    network = switched(copied(model), training=False).cpu()
    images = images.detach().cpu().to(type_of(network)).contiguous()
    batches = [images[:1], *(images[start : start + BATCH] for start in range(1, len(images), BATCH))]
    try:
        with torch.no_grad():
            wanted = [_tensors(network(batch.clone())) for batch in batches]
    except Exception as error:  # whatever a stranger's forward pass may raise
        shape = tuple(images.shape[1:])
        raise InputError(expected(where, f"a network that takes images of {shape}", first_line(error))) from error
    write, reader = (_onnx, _read_onnx) if format == "onnx" else (_pt2, _read_pt2)
    with _quietly():
        try:
            content = write(network, torch.cat((images[:1], images[:1])), len(wanted[0]))
            run = reader(content)
            with torch.no_grad():
                got = [run(batch.clone()) for batch in batches]
        except Exception as error:  # and whatever an exporter may
            raise InputError(expected(where, f"a network that {format} can hold", _brief(error))) from error
    difference = max(map(_difference, wanted, got))
    if not difference <= tolerance:
        found = f"a file that differs by {difference:.2g}"
        raise InputError(expected(where, f"the network's logits within {tolerance:g}", found))
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return Exported(difference, len(images), len(content))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what exporters say of their own code, and of libraries that the network does not need."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _onnx(network: nn.Module, example: Tensor, outputs: int) -> bytes:
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=["images"],
        output_names=["logits"] if outputs == 1 else None,
        external_data=False,
        verbose=False,
    )
    content: bytes = program.model_proto.SerializeToString()  # type: ignore[union-attr]
    return content


def _read_onnx(content: bytes) -> Run:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: [torch.from_numpy(output) for output in session.run(None, {name: images.numpy()})]


def _pt2(network: nn.Module, example: Tensor, outputs: int) -> bytes:
    program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def _read_pt2(content: bytes) -> Run:
    module = torch.export.load(io.BytesIO(content)).module()
    return lambda images: _tensors(module(images))


def _tensors(result: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]


def _difference(wanted: Sequence[Tensor], got: Sequence[Tensor]) -> float:
    if [tensor.shape for tensor in wanted] != [tensor.shape for tensor in got]:
        return float("inf")
    largest = [float(gaps(a.double(), b.double()).max()) for a, b in zip(wanted, got, strict=True) if a.numel()]
    return max((float("inf") if gap != gap else gap for gap in largest), default=0.0)


def _refuse_without_onnx(model: nn.Module) -> None:
    where = type(model).__name__
    for library in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(library)
        except Exception as error:  # a library that does not fit the others raises anything
            got = f"no {library} here" if isinstance(error, ImportError) else f"{library}: {_brief(error)}"
            raise InputError(expected(where, "the extra windfirm[onnx]", got)) from error
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    if size >= ONNX_LIMIT:
        raise InputError(expected(where, f"a network below {ONNX_LIMIT:,} bytes, or pt2", f"{size:,}"))


def _brief(error: Exception) -> str:
    """The first line of an error; of a chain of them, that of the one which began it."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return first_line(error)
