import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.adjust.mortal import work


def test_a_training_killed_at_any_line_ends_with_the_very_weights_of_one_that_was_not(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.adjust.mortal", str(tmp_path), "0"]
    kills = int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    assert 11 < kills < 51  # all those in the first writing and some more, and it came to its end
    found = load_file(tmp_path / "weights")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["progress.safetensors", "weights"]
    whole, threads = tmp_path / "whole", torch.get_num_threads()
    whole.mkdir()
    torch.set_num_threads(1)
    work(whole)
    torch.set_num_threads(threads)
    expected = load_file(whole / "weights")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
