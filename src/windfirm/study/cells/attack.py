"""One attack on one network: a row, with the outcome of every image."""

from windfirm.attack.registry import build
from windfirm.evaluate.loop import evaluate
from windfirm.evaluate.outcome import pack
from windfirm.study.cells.bench import Bench, opened
from windfirm.study.work import Result, Task


def run(bench: Bench, task: Task) -> Result:
    """Evaluate; no facts. Raises what evaluate raises."""
    s = task.settings
    source = opened(task, "network")
    images = bench.images(s["data"], "test", source)
    attack = build(s["attack"], images.images.shape[-1], **s["options"])
    size = {"eps": s["eps"]} if "eps" in s else {}
    outcome = evaluate(source.model, images, attack, seed=s["seed"], device=bench.device, **size)
    return Result({"data": images.name, "images": len(images)}, [pack(outcome)])
