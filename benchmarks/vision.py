"""torchvision beside a PyTorch whose compiled operators it does not fit.

torchvision's Python part asks for the schemas of two detection operators when it is imported. Without its compiled part
nobody has defined them and the import fails, although no classification network ever calls them. Defining the schemas,
without an implementation, is enough.
"""

import importlib
from types import ModuleType

import torch


def import_torchvision() -> ModuleType:
    """The package torchvision, with operator schemas defined for it where its compiled part does not load."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("torchvision")
