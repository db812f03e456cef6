"""One attack on one network: a row, with the outcome of every image."""

from windfirm.attack.registry import build
from windfirm.evaluate.loop import evaluate
from windfirm.evaluate.outcome import pack
from windfirm.evaluate.transfer import transfer
from windfirm.study.cells.bench import Bench, opened, told
from windfirm.study.provenance import digest
from windfirm.study.work import Result, Task


def run(bench: Bench, task: Task) -> Result:
    """Evaluate; facts: the images and their digest.

    Where there is an input ``source``, images are made on that network. Raises what evaluate and transfer raise.
    """
    s = task.settings
    source = opened(task, "network")
    images = bench.images(s["data"], "test", source)
    attack = build(s["attack"], images.side, **s["options"])
    size = {"eps": s["eps"]} if "eps" in s else {}
    if "source" in task.inputs:
        maker, targets = opened(task, "source").model, {"network": source.model}
        outcomes = transfer(maker, targets, images, attack, name=s["from"], seed=s["seed"], device=bench.device, **size)
        outcome = outcomes["network"]
    else:
        outcome = evaluate(source.model, images, attack, seed=s["seed"], device=bench.device, **size)
    return Result(told(images) | {"images": len(images), "digest": digest(images)}, [pack(outcome)])
