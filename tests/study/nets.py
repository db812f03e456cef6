"""A network small enough to be trained, pruned and attacked in a test."""

from windfirm.models.resnet import ResNet


def tiny() -> ResNet:
    """A ResNet-8 with ten classes."""
    return ResNet(1)
