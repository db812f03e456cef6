import pytest
import torch
from torch import Tensor, nn

from tests.prune.nets import EXAMPLE, Net
from windfirm.errors import TraceError
from windfirm.prune.trace import trace


def complaint(model: nn.Module, *examples: Tensor) -> str:
    with pytest.raises(TraceError) as error:
        trace(model, examples)
    return str(error.value)


def test_calls_carry_their_module_shapes_and_parameters() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.ReLU(inplace=True)).double()
    traced = trace(model, EXAMPLE)
    assert [(str(call.op), call.where) for call in traced.calls] == [
        ("aten.convolution.default", "0"),
        ("aten.relu_.default", "1"),
    ]
    convolution, relu = traced.calls
    assert convolution.inputs == [traced.inputs[0], traced.parameters["0.weight"]]
    assert relu.inputs == list(convolution.outputs)
    assert traced.outputs == relu.outputs != convolution.outputs  # the same tensor, later
    assert traced.outputs[0].shape == (1, 4, 6, 6)


def test_calls_are_needed_when_an_output_follows_or_something_is_written_that_lasts() -> None:
    def run(m: Net, x: Tensor) -> Tensor:
        y = x.sin()
        y.detach().cos()  # nobody looks
        y.view(-1).tan_()  # y lies there as well
        spare = torch.zeros_like(x)
        spare.copy_(y)  # nor here
        m.kept.add_(y.sum())
        z = y.exp()
        y.log_()  # too late
        return z

    model = Net(run)
    model.register_buffer("kept", torch.zeros((), dtype=torch.float64))
    traced = trace(model, EXAMPLE)
    names = {call.op._schema.name.removeprefix("aten::"): call.number in traced.needed for call in traced.calls}
    assert [name for name, needed in names.items() if needed] == ["sin", "view", "tan_", "sum", "add_", "exp"]
    assert [name for name, needed in names.items() if not needed] == ["detach", "cos", "zeros_like", "copy_", "log_"]
    assert [call.number for call in traced.readers[traced.calls[0].outputs[0].key]] == [
        call.number
        for call in traced.calls
        if call.number in traced.needed and call.inputs[0] in traced.calls[0].outputs
    ]


def test_a_tensor_with_two_names_is_one_parameter() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)).double()
    model[1].weight = model[0].weight
    assert list(trace(model, EXAMPLE).parameters) == ["0.weight", "0.bias", "1.bias"]


def test_a_call_outside_all_submodules_is_the_networks_own() -> None:
    assert trace(Net(lambda m, x: x.relu()), EXAMPLE).calls[0].where == "the network"


def test_tensors_that_the_forward_pass_makes_itself_are_seen() -> None:
    traced = trace(Net(lambda m, x: x + torch.zeros(2, 1, 1)), EXAMPLE)
    assert traced.outputs[0].shape == (1, 2, 8, 8)


def test_what_cannot_be_traced_is_refused_with_the_reason() -> None:
    wanted = "Net: expected a forward pass that runs on inputs of shape (1, 2, 8, 8) without their values, got "
    assert complaint(Net(lambda m, x: x * x.sum().item()), EXAMPLE) == (
        wanted + "Tensor.item() cannot be called on meta tensors"
    )
    assert complaint(Net(lambda m, x: x.view(-1, 77)), EXAMPLE) == (
        wanted + "shape '[-1, 77]' is invalid for input of size 128"
    )


def test_an_output_that_cannot_be_looked_into_is_refused() -> None:
    assert complaint(Net(lambda m, x: {x}), EXAMPLE) == "Net: expected outputs that are tensors, got set"
    assert complaint(Net(lambda m, x: 3), EXAMPLE) == "Net: expected outputs that are tensors, got none"


def test_inputs_without_an_image_are_refused() -> None:
    model = Net(lambda m, x: x)
    wanted = "Net: expected example inputs with at least one image, got "
    assert complaint(model, torch.zeros(0, 2, 8, 8)) == wanted + "(0, 2, 8, 8)"
    assert complaint(model, torch.tensor(1.0)) == wanted + "()"
    assert complaint(model) == wanted + "none"


def test_an_error_without_words_is_told_by_its_kind() -> None:
    def raising(error: Exception) -> Net:
        def run(m: Net, x: Tensor) -> Tensor:
            raise error

        return Net(run)

    assert complaint(raising(NotImplementedError()), EXAMPLE).endswith(" values, got NotImplementedError")
    assert complaint(raising(KeyError("k")), EXAMPLE).endswith(" without their values, got KeyError: 'k'")
