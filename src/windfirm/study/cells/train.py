"""F, or the network with a competing defence: trained from fresh weights, which are kept for w-ticket."""

from windfirm import seeds
from windfirm.adjust.train import Recipe, train
from windfirm.models.copies import copied
from windfirm.models.source import INITIAL, fresh
from windfirm.study.cells.bench import Bench, bare, intake, keep, objective, told
from windfirm.study.measure import check_fit
from windfirm.study.work import Result, Task


def run(bench: Bench, task: Task) -> Result:
    """Train; facts: cost, images, loss and training accuracy of the last epoch.

    Raises TrainingError as train does, and InputError for a network that does not take the images or has other classes.
    """
    s = task.settings
    fed = intake(s)
    images = bench.images(s["data"], "train", fresh(s["arch"], asked=fed))  # which says of what size it takes them
    source = fresh(s["arch"], classes=len(images.classes), seed=s["seed"], asked=fed)
    check_fit(source.name, source.model, images)  # before it is trained
    network, normalised = bare(source)
    initial = copied(network)
    recipe = Recipe(**{name.replace("-", "_"): value for name, value in s["recipe"].items()})
    epochs = train(
        normalised(network),
        images.images,
        images.labels,
        recipe,
        seed=seeds.number(s["seed"], "train"),
        device=bench.device,
        objective=objective(s["defence"], images),
        checkpoint=task.progress,
    )
    # Not before: a run that sleeps meanwhile may be taken for dead, and what it has written be removed.
    keep(task, initial, source, images, INITIAL)
    last = epochs[-1]
    facts = {"loss": last.loss, "accuracy": last.accuracy}
    kept = keep(task, network, source, images)
    return Result(kept | told(images) | facts, seconds=sum(entry.seconds for entry in epochs))
