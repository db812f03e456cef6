"""The Ray engine: the same cells as tasks of a Ray cluster, on this machine or on many.

Files go through the folder of the store, which every node must see under the same path; or, where they are kept at a
URL (see place.py), through that, and nodes have a folder of their own under that path. What is imported must be
installed there. The driver alone writes the store, and begins cells again whose worker or node is lost.
"""

import functools
import importlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from windfirm.errors import InputError, brief, expected, first_line
from windfirm.study import wire
from windfirm.study.local import cores
from windfirm.study.perform import executors_of, perform
from windfirm.study.work import Ended, Executor, Task


class OnRay:
    """Tasks on Ray, each with ``threads`` cores, and a GPU where ``device`` is cuda.

    Starts a Ray on this machine and ends it at the close, or joins the cluster at ``address``. Raises InputError when
    Ray is not installed or does not answer.
    """

    def __init__(self, spec: str, device: str = "cpu", *, address: str | None = None, threads: int = 1) -> None:
        try:
            self.ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise InputError(
                expected("--engine ray", "the extra windfirm[ray]", "an environment without it")
            ) from error
        here = {"num_cpus": cores(), "include_dashboard": False} if address is None else {"address": address}
        try:
            self.ray.init(log_to_driver=False, logging_level="error", **here)
        except Exception as error:  # of several kinds, as its parts fail
            got = brief(error)
            raise InputError(expected("--engine ray", f"a cluster at {address or 'this machine'}", got)) from error
        self.spec, self.device, self.threads = spec, device, threads
        gpus = 1 if device == "cuda" else 0
        self.at_work: dict[Any, tuple[str, float]] = {}
        self.least = 0 if address is None else 1  # a cluster may grow when something is asked of it
        if not self.free:
            self.ray.shutdown()
            wanted = f"a machine with cores for --threads {threads}" + (" and a GPU" if gpus else "")
            raise InputError(expected("--engine ray", wanted, f"{cores()} cores" + (" or no GPU" if gpus else "")))
        self.remote = self.ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=0)(do)

    @property
    def free(self) -> int:
        resources = self.ray.cluster_resources()
        slots = int(resources.get("CPU", 0)) // self.threads
        if self.device == "cuda":
            slots = min(slots, int(resources.get("GPU", 0)))
        return max(0, max(self.least, slots) - len(self.at_work))

    def submit(self, task: Task) -> None:
        reference = self.remote.remote(self.spec, self.device, wire.from_task(task))
        self.at_work[reference] = task.key, time.monotonic()

    def wait(self, seconds: float) -> Sequence[Ended]:
        if not self.at_work:
            time.sleep(seconds)
            return ()
        ready, _ = self.ray.wait(list(self.at_work), num_returns=1, timeout=seconds)
        if ready:  # what else is there is taken as well
            ready, _ = self.ray.wait(list(self.at_work), num_returns=len(self.at_work), timeout=0)
        return [self._ended(reference) for reference in ready]

    def close(self) -> None:
        for reference in self.at_work:
            self.ray.cancel(reference, force=True)
        self.at_work.clear()
        self.ray.shutdown()

    def _ended(self, reference: Any) -> Ended:
        key, since = self.at_work.pop(reference)
        try:
            return wire.to_ended(self.ray.get(reference))
        except self.ray.exceptions.RayError as error:  # the cell's own errors are in what it returns
            words = f"{type(error).__name__}, {first_line(error)}"
            return Ended(key, time.monotonic() - since, lost=True, trace=words)


def do(spec: str, device: str, values: wire.Values) -> wire.Values:
    """A task on a node: plain values in, plain values out."""
    return wire.from_ended(perform(_executors(spec, device), wire.to_task(values)))


@functools.cache
def _executors(spec: str, device: str) -> Mapping[str, Executor]:
    """Made once in each process, so that what they keep in memory is kept."""
    return executors_of(spec, device)
