"""Where a network runs, and in which precision."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import Any, cast

import torch
from torch import nn

from windfirm.errors import InputError, expected


def pick(name: str = "auto") -> torch.device:
    """``auto`` (a GPU when there is one), ``cpu`` or ``cuda``, as commands read it. Raises InputError without a GPU."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(expected("--device cuda", "a GPU that PyTorch can use", "none on this machine"))
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def placed(device: torch.device | str | None) -> torch.device:
    """Where a caller wants to compute: a device, its name such as ``cuda:1``, or None for the CPU.

    Raises InputError for what is none, or not on this machine.
    """
    try:
        found = torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError) as error:
        raise InputError(expected("device", "a device of PyTorch such as cpu or cuda:0", repr(device))) from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise InputError(expected("device", "a GPU that PyTorch can use", "none on this machine"))
    try:
        torch.empty(0, device=found).cpu()  # which meta, a device without data, refuses as well
    except Exception as error:  # of many kinds, ImportError among them
        raise InputError(expected("device", "one that PyTorch can use on this machine", found)) from error
    return found


@contextmanager
def default_modes() -> Iterator[None]:
    """Inside the block, or in a function under ``@default_modes()``, two modes that a caller may be in do not hold.

    In inference mode no gradient could be had, a trace would not see the operations one by one, and tensors could
    never be trained. With a default device (torch.set_default_device) tensors without one would not be made on the CPU.
    """
    elsewhere = torch.get_default_device().type != "cpu"  # to ask for the CPU costs every operation a little
    with torch.inference_mode(False), torch.device("cpu") if elsewhere else nullcontext():
        yield


def is_gpu(device: torch.device | None) -> bool:
    """Whether ``device`` is one; None is the CPU."""
    return device is not None and device.type == "cuda"


def require_float32(model: nn.Module) -> None:
    """Raise InputError for a network that is to be trained and has parameters of another type than float32."""
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            raise InputError(expected(name, "float32 to train, as model.float() makes it", parameter.dtype))


def type_of(model: nn.Module) -> torch.dtype:
    """The type of images that a network takes: that of its parameters or buffers, of which vectors say least."""
    found = [t for t in chain(model.parameters(), model.buffers()) if t.is_floating_point()]
    return next((t.dtype for t in [*(t for t in found if t.ndim > 1), *found]), torch.float32)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively (emulation would be slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("sve_bf16"))


@contextmanager
def autocast(device: torch.device, *, short: bool = True, cache: bool = True) -> Iterator[None]:
    """bfloat16 autocast where the device has it and ``short`` asks for it; a context that does nothing elsewhere.

    ``cache``: whether weights are shortened once for all calls inside. They are forgotten before and after, which
    PyTorch does only where no other autocast, be it one that is off, is around: else a step would compute with the
    weights of the first.
    """
    torch.clear_autocast_cache()
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=short and has_bfloat16(device), cache_enabled=cache):
            yield
    finally:
        torch.clear_autocast_cache()


@contextmanager
def slow_in_bfloat16(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Inside the block, under autocast on a processor, depthwise convolutions with a stride run in float32.

    In bfloat16 their gradient falls back to a loop without vector instructions (PyTorch 2.13: 109 ms against 5 ms for
    144 channels of 32×32 and 32 images), which costs a MobileNetV2 a third of its training time.
    """

    before: list[bool] = []

    def leave(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        before.append(torch.is_autocast_enabled(device.type))
        torch.set_autocast_enabled(device.type, False)
        return (args[0].float(), *args[1:])

    def enter(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        torch.set_autocast_enabled(device.type, before.pop())

    hooks = []
    if device.type == "cpu" and has_bfloat16(device):
        for module in model.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1 and max(module.stride) > 1:
                hooks.append(module.register_forward_pre_hook(leave))
                hooks.append(module.register_forward_hook(enter, always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def in_float32() -> Iterator[None]:
    """Inside the block float32 numbers are multiplied as they are.

    Elsewhere cuDNN rounds them to TF32 first, 10 bits after the point in place of 23 (PyTorch's default, and faster);
    a processor rounds them to bfloat16 only if it was told to, as by torch.set_float32_matmul_precision("medium").
    """
    cuda, cudnn, cpu = (cast(Any, getattr(torch.backends, name)) for name in ("cuda", "cudnn", "mkldnn"))
    kinds = (cuda.matmul, cudnn.conv, cudnn.rnn, cpu.matmul, cpu.conv, cpu.rnn)
    before = [kind.fp32_precision for kind in kinds]
    try:
        for kind in kinds:
            kind.fp32_precision = "ieee"
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


def told_to_round() -> bool:
    """Whether a processor rounds float32 numbers before it multiplies them."""
    cpu = cast(Any, torch.backends.mkldnn)
    return any(kind.fp32_precision in ("bf16", "tf32") for kind in (cpu.matmul, cpu.conv, cpu.rnn))


def is_exact() -> bool:
    """Whether in_float32 holds."""
    return str(cast(Any, torch.backends.cudnn).conv.fp32_precision) == "ieee"


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that no memory was left; from the host's allocator that is a plain RuntimeError."""
    texts = ("DefaultCPUAllocator", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in texts)


def batch_size(device: torch.device | None, shape: Sequence[int] = (3, 32, 32)) -> int:
    """How many images of ``shape`` (…, h, w) to show a network at once when nothing is trained.

    At 32×32 on a processor few, so that activations stay in its caches (PGD on 256 images with ResNet-56 on two cores
    takes 4.3 s in batches of 32, 4.1 of 50, 3.9 of 100 and 3.8 of 256, a clean prediction of 512 0.64 s of 100 and 0.85
    of 512); on a GPU many. Larger images make the batch smaller, as memory grows with the pixels.
    """
    most, least = (512, 16) if is_gpu(device) else (100, 8)
    return max(least, min(most, most * 32 * 32 // max(shape[-2] * shape[-1], 1)))
