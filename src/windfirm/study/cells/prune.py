"""One round of pruning, proved; the network of the round before goes in."""

from torch import nn

from windfirm.data.batches import Batches
from windfirm.models.device import batch_size
from windfirm.prune.budget import Budget
from windfirm.prune.criteria import named
from windfirm.prune.propose import Target
from windfirm.prune.schedule import prune_round
from windfirm.study.cells.bench import Bench, bare, example, keep, opened, told
from windfirm.study.work import Result, Task


def run(bench: Bench, task: Task) -> Result:
    """Prune; facts: cost, images, what left, and what could not. Raises CutError as prune_round does."""
    s = task.settings
    source = opened(task, "network")
    network, normalised = bare(source)
    first = network if task.inputs["first"] == task.inputs["network"] else bare(opened(task, "first"))[0]
    images = bench.images(s["data"], "train", source)
    target = Target(
        Budget(s["budget"], s["share"]),
        s["structure"],
        s["choose"] or "alternate",
        s["ranking"],
        s["floor"],
        tuple(s["protect"]),
        s["plain"],
    )
    smaller, done = prune_round(
        network.to(bench.device),
        first.to(bench.device),
        example(images),
        named(s["criterion"]),
        target,
        s["round"],
        s["rounds"] or s["round"],
        batches=Batches(images, batch_size(bench.device, images.images.shape), normalised(nn.Identity())),
        seed=s["seed"],
    )
    facts = {"sort": done.sort, "units": done.cut.units, "candidates": done.candidates, "refused": dict(done.refused)}
    removed = {structure.name: len(units) for structure, units in done.cut.removed.items() if units}
    return Result(keep(task, smaller, source, images) | told(images) | facts | {"removed": removed})
