import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.adjust.mortal import work
from windfirm.adjust.train import Extras


@pytest.mark.parametrize("extras", [Extras(), Extras(probe=6, keep="fgsm", ema=0.9)], ids=["plain", "all"])
def test_a_training_killed_at_any_line_ends_with_the_very_weights_of_one_that_was_not(
    tmp_path: Path, extras: Extras
) -> None:
    words = [sys.executable, "-m", "tests.adjust.mortal", str(tmp_path), "0", json.dumps(asdict(extras))]
    kills = int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    assert 12 < kills < 72
    found = load_file(tmp_path / "weights")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["progress.safetensors", "weights"]
    whole = tmp_path / "whole"
    whole.mkdir()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    work(whole, extras)
    torch.set_num_threads(threads)
    expected = load_file(whole / "weights")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
