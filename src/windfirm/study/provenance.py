"""Where numbers come from: versions, processor, threads, data. Written beside every result."""

import hashlib
import platform
from pathlib import Path

import numpy as np
import torch

import windfirm
from windfirm.attack.options import some
from windfirm.data.images import Images


def hardware(device: torch.device, threads: int | None = None) -> str:
    """The device in words: the GPU's name, or the processor's and the number of threads used, by default ours."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {some(threads or torch.get_num_threads(), 'thread')}"


def versions() -> str:
    """Windfirm, PyTorch and Python."""
    return f"windfirm {windfirm.__version__}, torch {torch.__version__}, Python {platform.python_version()}"


def digest(images: Images) -> str:
    """The first 16 hex digits of the SHA-256 of pixels and labels."""
    total = hashlib.sha256(np.ascontiguousarray(images.images.numpy()).data)
    total.update(images.labels.numpy().tobytes())
    return total.hexdigest()[:16]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
