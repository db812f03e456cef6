"""A worker process: ``python -m windfirm.study.worker MODULE:FUNCTION DEVICE``.

Reads a task a line from standard input and answers with its end, a line each on standard output; see wire.py. Whatever
cells print goes to standard error. It ends at once, in the middle of a cell if need be, when its driver is gone.
"""

import os
import queue
import signal
import sys
import threading

from windfirm.study import wire
from windfirm.study.perform import executors_of, perform


def main() -> None:
    """Work until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the driver, which tells us to end
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    executors = executors_of(sys.argv[1], sys.argv[2])
    while True:
        task = wire.to_task(wire.load(lines.get()))
        ended = wire.from_ended(perform(executors, task))
        try:
            answers.write(wire.dump(ended))
            answers.flush()
        except BrokenPipeError:
            os._exit(0)  # nobody listens any more


def _listen(lines: "queue.SimpleQueue[bytes]") -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)  # the driver has closed the pipe, or was killed


if __name__ == "__main__":
    main()
