"""The cells of a real study: an executor for each kind, thin around what the other rooms do."""

from collections.abc import Mapping
from functools import partial

from windfirm.models.device import pick
from windfirm.study.cells import adjust, attack, given, prune, train
from windfirm.study.cells.bench import Bench
from windfirm.study.work import Executor


def executors(device: str) -> Mapping[str, Executor]:
    """Executors for ``device`` (auto, cpu or cuda), which share a bench: images stay in memory between cells."""
    bench = Bench(pick(device))
    kinds = {"open": given.run, "train": train.run, "prune": prune.run, "adjust": adjust.run, "attack": attack.run}
    return {kind: partial(run, bench) for kind, run in kinds.items()}
