import pytest
import torch
from torch import nn

from windfirm.errors import InputError
from windfirm.models.mobilenet import InvertedResidual
from windfirm.models.normalize import CIFAR10_MEAN, CIFAR10_STD, Normalize
from windfirm.models.registry import ARCHITECTURES, build


@pytest.mark.parametrize("arch", ["resnet20", "mobilenet-v2", "vgg16-bn"])
def test_two_images_give_two_rows_of_finite_logits_and_every_parameter_learns(arch: str) -> None:
    torch.manual_seed(0)
    model = build(arch, classes=7)
    logits = model(torch.rand(2, 3, 32, 32))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()
    logits.square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_normalisation_is_the_first_layer_that_runs(arch: str) -> None:
    model = build(arch).eval()
    first: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: first.append(module))
        for module in model.modules()
        if not list(module.children())
    ]
    with torch.no_grad():
        model(torch.rand(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    assert isinstance(first[0], Normalize)


def test_normalize_takes_the_data_set_s_mean_to_zero_and_one_deviation_more_to_one() -> None:
    mean, std = torch.tensor(CIFAR10_MEAN).view(1, 3, 1, 1), torch.tensor(CIFAR10_STD).view(1, 3, 1, 1)
    assert torch.equal(Normalize()(mean), torch.zeros(1, 3, 1, 1))
    torch.testing.assert_close(Normalize()(mean + std), torch.ones(1, 3, 1, 1))


@pytest.mark.parametrize(("arch", "convolutions"), [("resnet20", 19), ("resnet110", 109), ("vgg16-bn", 13)])
def test_depth_is_what_the_name_says(arch: str, convolutions: int) -> None:
    modules = list(build(arch).modules())
    assert sum(isinstance(module, nn.Conv2d) for module in modules) == convolutions


def test_mobilenet_s_shortcuts_are_identities_only_at_stride_one_between_equal_channels() -> None:
    blocks = [module for module in build("mobilenet-v2").modules() if isinstance(module, InvertedResidual)]
    assert len(blocks) == 17
    for block in blocks:
        stride = block.depthwise.stride[0]
        equal = block.expand.in_channels == block.project.out_channels
        kind = None if stride == 2 else nn.Identity if equal else nn.Sequential
        assert (type(block.shortcut) if block.shortcut else None) is kind
    assert sum(isinstance(block.shortcut, nn.Identity) for block in blocks) == 10


def test_a_mobilenet_block_without_its_branch_is_its_input() -> None:
    block = InvertedResidual(4, 4, expansion=2, stride=1).eval()
    nn.init.zeros_(block.project_bn.weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_layers_have_readable_names() -> None:
    mobilenet, vgg = dict(build("mobilenet-v2").named_modules()), dict(build("vgg16-bn").named_modules())
    assert {"features.3.expand", "features.3.depthwise", "features.3.depthwise_bn", "features.3.project"} <= set(
        mobilenet
    )
    assert {"features.conv1_1", "features.bn5_3", "features.pool5", "linear"} <= set(vgg)


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    known = "resnet20, resnet32, resnet44, resnet56, resnet110, mobilenet-v2, vgg16-bn"
    with pytest.raises(InputError) as error:
        build("ResNet-56")
    assert str(error.value) == f"architecture: expected one of {known}, got 'ResNet-56'; did you mean resnet56?"
    with pytest.raises(InputError) as error:
        build("zzz")
    assert str(error.value) == f"architecture: expected one of {known}, got 'zzz'"


def test_a_network_without_classes_is_refused() -> None:
    with pytest.raises(InputError) as error:
        build("resnet20", classes=0)
    assert str(error.value) == "resnet20: expected at least 1 class, got 0"
