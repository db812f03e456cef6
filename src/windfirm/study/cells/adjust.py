"""What happens to F' after a round, and to the control: the same function, told the same."""

from windfirm import seeds
from windfirm.adjust.adjustments import adjust
from windfirm.models.source import INITIAL
from windfirm.study.cells.bench import Bench, bare, keep, objective, opened, told
from windfirm.study.work import Result, Task


def run(bench: Bench, task: Task) -> Result:
    """Adjust; facts: cost, images, epochs, and loss and training accuracy of the last. Raises what adjust raises."""
    s = task.settings
    source = opened(task, "network")
    network, normalised = bare(source)
    images = bench.images(s["data"], "train", source)
    epochs = adjust(
        s["name"],
        normalised(network),
        images,
        original=opened(task, "original").model if "original" in task.inputs else None,
        initial=opened(task, "initial", INITIAL).model if "initial" in task.inputs else None,
        epochs=s["epochs"],
        lr=s["lr"],
        seed=seeds.number(s["seed"], "round", s["round"]),
        device=bench.device,
        objective=objective(s["defence"], images),
        checkpoint=task.progress,
    )
    facts = told(images) | {"epochs": len(epochs)}
    last = {"loss": epochs[-1].loss, "accuracy": epochs[-1].accuracy} if epochs else {}
    kept = keep(task, network, source, images)
    return Result(kept | facts | last, seconds=sum(entry.seconds for entry in epochs))
