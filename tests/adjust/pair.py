"""Two processes that train one network; the first writes what came of it. Run as a module, with a folder and a count.

They are forked, so that PyTorch is imported once.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import torch
import torch.distributed as dist

from tests.adjust.toys import data, import_all, keep, toy
from windfirm.adjust.train import Extras, Recipe, train
from windfirm.models import device

#: In batches of 7 images, shares of 3 and 4. Of 30, one image each is left at the end; of 29, one, which joins a batch.
COUNTS = (30, 29)
RECIPE = Recipe(epochs=3, lr=0.05, batch=7)
EXTRAS = Extras(probe=2, keep="last", ema=0.9)


def work(folder: Path, count: int, rank: int, size: int) -> None:
    """Train on ``count`` images in a group of ``size`` processes."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    model = toy()
    history = train(model, *data(count + EXTRAS.probe), RECIPE, checkpoint=folder / "progress", extras=EXTRAS)
    if rank == 0:
        keep(model, folder / "weights")
        (folder / "history").write_text(json.dumps([asdict(entry) for entry in history]))
    dist.destroy_process_group()


def main() -> None:
    """Fork two processes and end as they do."""
    torch.set_num_threads(1)
    import_all()
    device.has_bfloat16 = lambda device: False
    children = []
    for rank in range(2):
        child = os.fork()
        if not child:
            work(Path(sys.argv[1]), int(sys.argv[2]), rank, 2)
            os._exit(0)
        children.append(child)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    main()
