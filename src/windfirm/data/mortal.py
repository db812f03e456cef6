"""A process that ends with the one that started it, however that ends. Imports no torch: worker processes run it."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """End this process, which multiprocessing started, as soon as the one that did so is gone; called once."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)  # in the middle of whatever it does: nobody waits for that any more
