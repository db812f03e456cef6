"""F as it is: trained weights from the package or from a file, kept in the store so that they cannot change."""

from windfirm.models.source import INITIAL, MODEL, open_model
from windfirm.study.cells.bench import Bench, bare, intake, keep
from windfirm.study.expand import weights
from windfirm.study.work import File, Result, Task


def run(bench: Bench, task: Task) -> Result:
    """Keep the network, and its weights as before training where they are known; facts: cost.

    Raises StoreError for files that are no longer those that the study was planned with.
    """
    s = task.settings
    facts = {}
    for name, path in zip((INITIAL, MODEL), reversed(weights(s["arch"], s["weights"])), strict=True):
        if path is None:
            continue
        File(path, s[name], path.stat().st_size).checked()
        by = {"factory": s["arch"]} if ":" in s["arch"] else {"arch": s["arch"]}
        source = open_model(str(path), **by, asked=intake(s))
        images = bench.images({"name": s["data"], "images": 1}, "train", source)
        facts = keep(task, bare(source)[0], source, images, name)
    return Result(facts)
