"""The local engine: cells in this process, or in worker processes that share the machine's cores."""

import os
import queue
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

from windfirm.study import wire
from windfirm.study.perform import executors_of, perform
from windfirm.study.work import Ended, Task

#: Seconds that a worker is given to go when it is told to.
GRACE = 2.0

#: How many threads each library may use; read when it is loaded.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class InProcess:
    """One cell at a time, in this process, with all its threads."""

    def __init__(self, spec: str, device: str = "cpu") -> None:
        self.executors = executors_of(spec, device)
        self.threads = None
        self.tasks: list[Task] = []

    @property
    def free(self) -> int:
        return 0 if self.tasks else 1

    def submit(self, task: Task) -> None:
        self.tasks.append(task)

    def wait(self, seconds: float) -> Sequence[Ended]:
        if not self.tasks:
            time.sleep(seconds)
            return ()
        with redirect_stdout(sys.stderr):  # what is printed in there is not the answer of this command
            return [perform(self.executors, self.tasks.pop())]

    def close(self) -> None:
        self.tasks.clear()


@dataclass
class _Worker:
    """A place for a process, which is started when there is something to do; and the task it has, since when."""

    number: int
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    task: Task | None = None
    since: float = 0.0


class Workers:
    """``count`` processes of ``threads`` (their share of ``cores``) each; one that dies is replaced, its cell is lost.

    With ``device`` cuda, each sees one of ``gpus`` GPUs, in turn. A worker ends by itself when this process is gone.
    What workers print goes into files in ``logs``.
    """

    def __init__(
        self, spec: str, count: int, logs: Path, device: str = "cpu", gpus: int = 1, threads: int | None = None
    ) -> None:
        self.spec, self.logs, self.device, self.gpus = spec, logs, device, gpus
        self.threads = threads or max(1, cores() // count)
        self.answers: queue.SimpleQueue[tuple[_Worker, bytes | None]] = queue.SimpleQueue()
        logs.mkdir(parents=True, exist_ok=True)
        mine = secrets.token_hex(4)
        self.workers = [_Worker(number, logs / f"worker-{mine}-{number}.log") for number in range(count)]
        for worker in self.workers:
            worker.log.touch()  # so that another run in the same folder, when it ends, leaves the folder of logs

    @property
    def free(self) -> int:
        return sum(worker.task is None for worker in self.workers)

    def submit(self, task: Task) -> None:
        worker = next(worker for worker in self.workers if worker.task is None)
        process = worker.process or self._start(worker)
        worker.task, worker.since = task, time.monotonic()
        assert process.stdin is not None
        with suppress(OSError):  # it died while it had nothing to do; its end is in the queue
            process.stdin.write(wire.dump(wire.from_task(task)))
            process.stdin.flush()

    def wait(self, seconds: float) -> Sequence[Ended]:
        ended: list[Ended] = []
        while True:
            try:
                worker, line = self.answers.get(timeout=0 if ended else seconds)  # those that are there go together
            except queue.Empty:
                return ended
            if line is None:
                ended += self._lost(worker)
            else:
                worker.task = None
                ended.append(wire.to_ended(wire.load(line)))

    def close(self) -> None:
        running = [worker.process for worker in self.workers if worker.process]
        for process in running:
            _hang_up(process)  # upon which a worker ends
        for process in running:
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for worker in self.workers:
            if not _said(worker.log):
                worker.log.unlink(missing_ok=True)
        with suppress(OSError):
            self.logs.rmdir()  # unless something was said

    def _start(self, worker: _Worker) -> "subprocess.Popen[bytes]":
        settings = {name: str(self.threads) for name in THREADS}
        settings["PYTHONPATH"] = os.pathsep.join(part or str(Path.cwd()) for part in sys.path)
        if self.device == "cuda":
            settings["CUDA_VISIBLE_DEVICES"] = _gpu(worker.number, self.gpus)
        with worker.log.open("ab") as log:
            process = worker.process = subprocess.Popen(
                # -P: the folder where we are stays where it is on our path, else -m would put it first.
                [sys.executable, "-P", "-m", "windfirm.study.worker", self.spec, self.device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | settings,
            )
        threading.Thread(target=self._listen, args=(worker, process), daemon=True).start()
        return process

    def _listen(self, worker: _Worker, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if line.endswith(b"\n"):  # else the worker was killed while it wrote
                    self.answers.put((worker, line))
        self.answers.put((worker, None))

    def _lost(self, worker: _Worker) -> list[Ended]:
        """Make room for another process in the place of one that is gone."""
        process, task = worker.process, worker.task
        assert process is not None
        code = process.wait()
        _hang_up(process)
        worker.process = worker.task = None
        if task is None:
            return []
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return [
            Ended(task.key, time.monotonic() - worker.since, lost=True, trace=", ".join([how, *_said(worker.log)[-1:]]))
        ]


def _hang_up(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()


def _said(log: Path) -> list[str]:
    """The lines of a log; none where somebody has removed it."""
    with suppress(FileNotFoundError):
        return log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return []


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpu(number: int, gpus: int) -> str:
    """The GPU of a worker, out of those that this process sees."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(i) for i in range(gpus)]
    return names[number % len(names)]
