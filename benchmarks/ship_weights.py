"""Turn the folder that ``windfirm train`` wrote into the weights inside the package, and measure what is shipped.

    python -m benchmarks.ship_weights runs/resnet56

Writes ``ARCH.safetensors`` and ``ARCH-initial.safetensors`` (float16 weights) and ``ARCH.json``: the training record,
and the accuracy on all 10,000 test images measured from the shipped file. The test images are opened here for the first
time.
"""

import argparse
import json
from pathlib import Path

import torch

from windfirm import data
from windfirm.attack.registry import build
from windfirm.evaluate.intervals import interval
from windfirm.evaluate.loop import evaluate
from windfirm.files import write_text
from windfirm.models.checkpoint import load, read_manifest, save
from windfirm.models.source import WEIGHTS
from windfirm.study.provenance import hardware, versions


def main() -> None:
    """Write the three files and print what they hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder that windfirm train wrote")
    run: Path = parser.parse_args().run
    arch = read_manifest(run / "model.safetensors").arch
    assert arch is not None
    trained, initial = WEIGHTS / f"{arch}.safetensors", WEIGHTS / f"{arch}-initial.safetensors"
    for source, target in ((run / "model.safetensors", trained), (run / "initial.safetensors", initial)):
        save(load(source), target, arch=arch, notes=read_manifest(source).notes, half=True)
    tests = data.load("cifar10", "test")
    outcome = evaluate(load(trained), tests, build("clean"))
    low, high = interval(outcome)
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    record["test"] = {
        "right": outcome.count,
        "of": outcome.total,
        "accuracy": outcome.accuracy,
        "interval": [round(low, 4), round(high, 4)],
        "measured": f"from {trained.name}, {hardware(torch.device('cpu'))}, {versions()}",
    }
    write_text(WEIGHTS / f"{arch}.json", json.dumps(record, indent=1) + "\n")
    print(f"{arch}: {outcome.count:,} of {outcome.total:,} test images right, {outcome.accuracy:.2%}")
    for path in (trained, initial):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
