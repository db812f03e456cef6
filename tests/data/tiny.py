"""A data set in the CIFAR layout with ten training and two test images, and its archives in all three forms."""

import hashlib
import io
import json
import os
import pickle
import struct
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from windfirm.data.cifar10 import CIFAR10, Dataset
from windfirm.data.store import Arrays

Files = dict[str, bytes]


def tiny_arrays() -> Arrays:
    rng = np.random.default_rng(0)
    return {
        "train_images": rng.integers(256, size=(10, 3, 32, 32), dtype=np.uint8),
        "train_labels": np.arange(10, dtype=np.uint8),
        "test_images": rng.integers(256, size=(2, 3, 32, 32), dtype=np.uint8),
        "test_labels": np.array([3, 9], dtype=np.uint8),
    }


def tiny_dataset(**changes: Any) -> Dataset:
    digests = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in tiny_arrays().items()}
    return replace(CIFAR10, name="tiny", train=10, test=2, digests=digests, sources=(), **changes)


def batches() -> dict[str, tuple[np.ndarray[Any, Any], list[int]]]:
    arrays = tiny_arrays()
    found = {
        f"data_batch_{i + 1}": (
            arrays["train_images"][2 * i : 2 * i + 2],
            arrays["train_labels"][2 * i : 2 * i + 2].tolist(),
        )
        for i in range(5)
    }
    return {**found, "test_batch": (arrays["test_images"], arrays["test_labels"].tolist())}


def binary_files() -> Files:
    return {
        f"cifar-10-batches-bin/{name}.bin": b"".join(
            bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True)
        )
        for name, (images, labels) in batches().items()
    }


def string(text: bytes) -> bytes:
    """A Python 2 string in pickle protocol 2."""
    return b"T" + struct.pack("<i", len(text)) + text


def python_files() -> Files:
    """Pickles as Python 2 wrote them: protocol 2, byte strings, ``numpy.core.multiarray``."""
    return {f"cifar-10-batches-py/{name}": python_2_pickle(*batch) for name, batch in batches().items()}


def python_2_pickle(images: np.ndarray[Any, Any], labels: list[int]) -> bytes:
    dtype = (
        b"cnumpy\ndtype\n"
        + string(b"u1")
        + b"K\x00K\x01\x87R(K\x03"
        + string(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    rebuild = b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R"
    state = b"(K\x01K" + bytes([len(images)]) + b"M\x00\x0c\x86" + dtype + b"\x89" + string(images.tobytes()) + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + string(b"data") + rebuild + state + string(b"labels") + numbers + b"u."


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG")
    return out.getvalue()


def npm_files() -> Files:
    files = {
        f"package/{name}.png": png(images.reshape(-1, 3, 1024).transpose(0, 2, 1))
        for name, (images, _) in batches().items()
    }
    arrays = tiny_arrays()
    for split in ("train", "test"):
        files[f"package/{split}_lables.json"] = json.dumps(arrays[f"{split}_labels"].tolist()).encode()
    return files


def add(tar: tarfile.TarFile, name: str, content: bytes, **fields: Any) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(content))


def write_tar(path: Path, files: Mapping[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            add(tar, name, content)
    return path


class Malicious:
    """Would make a folder when a pickle of it were loaded carelessly."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def malicious_pickle(path: Path) -> bytes:
    return pickle.dumps({b"data": Malicious(path)}, protocol=3)
