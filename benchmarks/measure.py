"""One network, measured in a process of its own: ``python -m benchmarks.measure ours|peer NAME``.

Prints one JSON object a line, each as soon as it is known, so that what a limit stopped is not lost. Everything runs on
one thread, in float64, with random parameters of which no two are equal; seconds are those of the processor.
"""

import argparse
import copy
import importlib
import json
import resource
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tests.silence import difference, error, numbers, silenced, still_there
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.zoo import Network, named
from windfirm.errors import WindfirmError
from windfirm.prune.structure import anatomy
from windfirm.prune.verify import silencing

wf: Any = importlib.import_module("windfirm")

#: A cut is right below this relative difference.
TOLERANCE = 1e-7

BATCHED = nn.modules.batchnorm._BatchNorm

Facts = dict[str, Any]


def lively(network: Network) -> nn.Module:
    """The network in float64 and eval mode with no parameter at a constant and no two numbers of one equal.

    What was drawn is drawn again with the same mean and spread; ones vary around one, zeros and nearly zeros around
    zero, so that no branch is asleep. Batch norms take the statistics of one batch.
    """
    torch.manual_seed(0)
    model = network.factory().double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                mean = float(parameter.mean())
                spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
                if spread <= 1e-3:
                    mean, spread = (0.0, 0.1) if abs(mean) <= 1e-3 else (mean, 0.2 * abs(mean))
                noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                parameter.copy_(mean + spread * noise)
        norms = [m for m in model.modules() if isinstance(m, BATCHED) and m.track_running_stats]
        before = [norm.momentum for norm in norms]
        for norm in norms:
            norm.train().momentum = 1.0
        model(*network.inputs(batch=4))
        for norm, momentum in zip(norms, before, strict=True):
            norm.eval().momentum = momentum
    return model


def macs(model: nn.Module, inputs: Sequence[Tensor]) -> int:
    """Multiply-adds by PyTorch's own counter, which stumbles over parameters that are handed to modules as inputs."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*inputs)
    for parameter in learned:
        parameter.requires_grad_(True)
    return int(counter.get_total_flops()) // 2


def size(model: nn.Module) -> int:
    """Numbers in all parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def checked(model: nn.Module, smaller: nn.Module, inputs: Sequence[Tensor]) -> Facts:
    """The error against the silenced original, and how much silencing alone changed: nothing shows where that is 0."""
    try:
        found = error(model, smaller, inputs)
        alive = still_there(model, smaller)
    except AssertionError as problem:
        return {"error": None, "check": "wrong", "why": str(problem)}
    twin, statistics = silenced(model, alive)
    with torch.no_grad():
        whole = numbers(model(*inputs))
        with statistics:
            effect = difference(whole, numbers(twin(*inputs)))
    return {"error": found, "effect": effect, "check": "right" if found < TOLERANCE else "different"}


def compared(model: nn.Module, smaller: nn.Module, inputs: Sequence[Tensor]) -> Facts:
    """What is left of the cost."""
    return {
        "macs_left": macs(smaller, inputs) / max(macs(model, inputs), 1),
        "params_removed": 1 - size(smaller) / size(model),
    }


def trained(make: Callable[[], nn.Module], smaller: nn.Module, inputs: Sequence[Tensor]) -> str:
    """``ok`` after one step of training; where it fails the reason, or that the unpruned network fails as well."""
    try:
        step(smaller, inputs)
    except Exception as problem:
        try:
            step(make(), inputs)
        except Exception:
            return "the unpruned network does not train either"
        return brief(problem)
    return "ok"


def step(model: nn.Module, inputs: Sequence[Tensor]) -> None:
    """One step of gradient descent in train mode; raises ValueError where a gradient is not finite."""
    model.train()
    loss = sum((output.square().mean() for output in numbers(model(*inputs))), torch.zeros((), dtype=torch.float64))
    loss.backward()  # type: ignore[no-untyped-call]
    grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    if not grads or not all(bool(grad.isfinite().all()) for grad in grads):
        raise ValueError("gradients that are missing or not finite")
    torch.optim.SGD(model.parameters(), lr=1e-4).step()


def ours(network: Network, export: bool) -> Iterator[Facts]:
    """What Windfirm makes of a network."""
    yield {"stage": "build"}
    model, inputs = lively(network), network.inputs()
    yield {"stage": "structures", "params": size(model), "macs": macs(model, inputs)}
    start = time.process_time()
    structures = wf.structures(model, inputs)
    groups = [s for s in structures if s.kind == "filters"]
    free = [s for s in groups if s.frozen is None]
    yield {
        "structures_seconds": time.process_time() - start,
        "free": len(free),
        "frozen": len(groups) - len(free),
        "free_channels": sum(s.size for s in free),
        "frozen_channels": sum(s.size for s in groups if s.frozen),
        "blocks": sum(s.kind == "block" and s.frozen is None for s in structures),
        "reasons": dict(Counter(s.frozen for s in groups if s.frozen).most_common()),
        "stage": "cut",
    }
    if not free:
        yield {"status": "refused", "why": "nothing is free"}
        return
    start = time.process_time()
    scores = wf.score("l1", model, free, ())
    cut = wf.select(free, scores, ratio=0.5, ranking="per-layer")
    smaller = wf.cut(model, cut, inputs)
    yield {"cut_seconds": time.process_time() - start, "status": "proved", "stage": "check"}
    marks = silencing(anatomy(model, inputs), cut).changes
    yield {"marks": len(marks), **checked(model, smaller, inputs), "stage": "cost"}
    yield {**compared(model, smaller, inputs), "stage": "load"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.safetensors"
        wf.save(smaller, path)
        loaded = wf.load(path, lambda: network.factory().double())
        with torch.no_grad():
            pairs = zip(numbers(smaller(*inputs)), numbers(loaded(*inputs)), strict=True)
            yield {"loads": "ok" if all(torch.equal(a, b) for a, b in pairs) else "different", "stage": "export"}
        if export:
            yield {"exports": exported(smaller, inputs, Path(folder) / "small.onnx"), "stage": "train"}
    yield {"trains": trained(network.factory, smaller, inputs), "stage": "done"}


def exported(model: nn.Module, inputs: Sequence[Tensor], path: Path) -> str:
    """``ok`` where the network, in float32, becomes an ONNX file that computes the same."""
    if len(inputs) != 1:
        return "more than one input"
    try:
        export = importlib.import_module("windfirm.models.export").export
        export(copy.deepcopy(model).float(), path, inputs[0].float(), "onnx")
    except WindfirmError as problem:
        return brief(problem)
    return "ok"


def peer(network: Network, export: bool) -> Iterator[Facts]:
    """What Torch-Pruning makes of it, as its tutorial shows: half of every group by L1, the classifier ignored."""
    yield {"stage": "build"}
    tp: Any = importlib.import_module("torch_pruning")
    model, inputs = lively(network), network.inputs()
    original = copy.deepcopy(model)
    with torch.no_grad():
        classes = {output.shape[1] for output in numbers(model(*inputs))}
    last = [m for m in model.modules() if getattr(m, "out_features", getattr(m, "out_channels", None)) in classes]
    example = inputs[0] if len(inputs) == 1 else list(inputs)
    yield {"stage": "structures"}
    start = time.process_time()
    importance = tp.importance.MagnitudeImportance(p=1)
    pruner = tp.pruner.BasePruner(model, example, importance=importance, pruning_ratio=0.5, ignored_layers=last)
    yield {"structures_seconds": time.process_time() - start, "stage": "cut"}
    start = time.process_time()
    pruner.step()
    yield {"cut_seconds": time.process_time() - start, "stage": "run"}
    if size(model) == size(original):
        yield {"status": "refused", "why": "nothing was removed"}
        return
    with torch.no_grad():
        model(*inputs)
    yield {"status": "runs", "stage": "check"}
    yield {**checked(original, model, inputs), "stage": "cost"}
    yield {**compared(original, model, inputs), "stage": "train"}
    yield {"trains": trained(network.factory, model, inputs), "stage": "done"}


def brief(problem: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    line = str(problem).strip().partition("\n")[0][:200]
    return line if isinstance(problem, WindfirmError) else f"{type(problem).__name__}: {line}"


def failed(problem: BaseException, who: str) -> Facts:
    """The facts of a measurement that an exception ended."""
    if isinstance(problem, MemoryError) or "can't allocate memory" in str(problem):
        return {"status": "memory"}
    if isinstance(problem, WindfirmError):
        return {"status": "refused", "why": brief(problem)}
    frames = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in traceback.extract_tb(problem.__traceback__)[-4:]]
    return {"status": "crash" if who == "ours" else "fails", "why": brief(problem), "frames": frames}


def main() -> None:
    """Measure one network under the limits and print what is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who", choices=["ours", "peer"])
    parser.add_argument("name")
    parser.add_argument("--seconds", type=int, default=300, help="of the processor")
    parser.add_argument("--memory", type=float, default=8, help="GiB of address space")
    parser.add_argument("--export", action="store_true")
    options = parser.parse_args()
    limit = int(options.memory * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (options.seconds, options.seconds + 5))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    try:
        for facts in (ours if options.who == "ours" else peer)(named(options.name), options.export):
            print(json.dumps(facts), flush=True)
    except Exception as problem:
        print(json.dumps(failed(problem, options.who)), flush=True)


if __name__ == "__main__":
    main()
