"""The same attacks as public libraries run them, each made as its own documentation shows.

A peer is made from its library's module and a network; it is then called with images, labels and eps, and returns the
attacked images. None of them is a dependency: those that are not installed are left out.
"""

import copy
import importlib
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.vision import import_torchvision

#: ``(images (b, c, h, w), labels (b,), eps) -> images``
Run = Callable[[Tensor, Tensor, float], Tensor]
Make = Callable[[Any, nn.Module], Run]

#: The modules of the libraries: where their attacks are.
MODULES = {
    "torchattacks": "torchattacks",
    "foolbox": "foolbox",
    "adv-lib": "adv_lib.attacks",
    "ART": "art",
    "pyautoattack": "pyautoattack",
    "mended": "torchattacks",
    "float64": "torch",
}


def place(model: nn.Module) -> str:
    """Where the network is: cpu or cuda."""
    return next(model.parameters()).device.type


def torchattacks(name: str, **options: Any) -> Make:
    """The class ``name`` of torchattacks; an option may depend on eps."""

    def make(library: Any, model: nn.Module) -> Run:
        def run(images: Tensor, labels: Tensor, eps: float) -> Tensor:
            given = {key: value(eps) if callable(value) else value for key, value in options.items()}
            attack = getattr(library, name)(model, eps=eps, **given)
            changed: Tensor = attack(images, labels)
            return changed

        return run

    return make


def foolbox(name: str, **options: Any) -> Make:
    """The class ``name`` of foolbox.attacks."""

    def make(library: Any, model: nn.Module) -> Run:
        wrapped = library.PyTorchModel(model, bounds=(0, 1), device=place(model))

        def run(images: Tensor, labels: Tensor, eps: float) -> Tensor:
            _, changed, _ = getattr(library.attacks, name)(**options)(wrapped, images, labels, epsilons=eps)
            result: Tensor = changed
            return result

        return run

    return make


def adv_lib(name: str, **options: Any) -> Make:
    """The function ``name`` of adv_lib.attacks, which takes eps as its fourth argument."""

    def make(library: Any, model: nn.Module) -> Run:
        def run(images: Tensor, labels: Tensor, eps: float) -> Tensor:
            changed: Tensor = getattr(library, name)(model, images, labels, eps, **options)
            return changed

        return run

    return make


def art(name: str, **options: Any) -> Make:
    """The class ``name`` of art.attacks.evasion."""

    def make(library: Any, model: nn.Module) -> Run:
        attacks = importlib.import_module("art.attacks.evasion")
        estimators = importlib.import_module("art.estimators.classification")

        def run(images: Tensor, labels: Tensor, eps: float) -> Tensor:
            shape, loss = tuple(images.shape[1:]), nn.CrossEntropyLoss()
            kind = "gpu" if place(model) == "cuda" else "cpu"
            classifier = estimators.PyTorchClassifier(model, loss, shape, 10, clip_values=(0, 1), device_type=kind)
            given = {key: value(eps) if callable(value) else value for key, value in options.items()}
            attack = getattr(attacks, name)(classifier, eps=eps, batch_size=len(images), **given)
            return torch.from_numpy(attack.generate(images.cpu().numpy(), labels.cpu().numpy()))

        return run

    return make


def autoattack(*attacks: str) -> Make:
    """The original AutoAttack, standard, or only these attacks of it."""

    def make(library: Any, model: nn.Module) -> Run:
        logging.getLogger("auto-attack").setLevel(logging.ERROR)

        def run(images: Tensor, labels: Tensor, eps: float) -> Tensor:
            version = {"version": "custom", "attacks": list(attacks)} if attacks else {"version": "standard"}
            attack = library.AutoAttack(model, norm="Linf", eps=eps, seed=0, device=place(model), **version)
            attack.apgd.n_restarts = 1
            changed: Tensor = attack.run_standard_evaluation(images.contiguous(), labels, batch_size=len(images))[0]
            return changed

        return run

    return make


def square_anywhere(library: Any, model: nn.Module) -> Run:
    """torchattacks' Square, whose squares never reach the last row or column, with squares that do, as in the paper."""

    class Square(library.Square):  # type: ignore[misc]
        def random_int(self, low: int = 0, high: int = 1, shape: Any = (1,)) -> Any:
            return super().random_int(low, high + 1, shape)  # it draws a place below ``high``, the last that fits

    def run(images: Tensor, labels: Tensor, eps: float) -> Tensor:
        changed: Tensor = Square(model, eps=eps, n_queries=5000)(images, labels)
        return changed

    return run


def float64(library: Any, model: nn.Module) -> Run:
    """FGSM written down in float64, where the gradient of the cross-entropy does not round to nothing: a truth."""
    twin = copy.deepcopy(model).double()

    def run(images: Tensor, labels: Tensor, eps: float) -> Tensor:
        signs = []
        for some, true in zip(torch.split(images, 100), torch.split(labels, 100), strict=True):
            pixels = some.double().requires_grad_()
            loss = library.nn.functional.cross_entropy(twin(pixels), true, reduction="sum")
            signs.append(library.autograd.grad(loss, pixels)[0].sign().float())
        return (images + eps * torch.cat(signs)).clamp(0, 1)

    return run


def _quarter(eps: float) -> float:
    return eps / 4


#: By attack and then by library.
PEERS: Mapping[str, Mapping[str, Make]] = {
    "fgsm": {
        "torchattacks": torchattacks("FGSM"),
        "foolbox": foolbox("FGSM"),
        "ART": art("FastGradientMethod"),
        "float64": float64,
    },
    "pgd-10": {
        "torchattacks": torchattacks("PGD", alpha=_quarter, steps=10),
        "foolbox": foolbox("LinfPGD", rel_stepsize=0.25, steps=10),
        "adv-lib": adv_lib("pgd_linf", steps=10, relative_step_size=0.25),
        "ART": art("ProjectedGradientDescent", eps_step=_quarter, max_iter=10, num_random_init=1, verbose=False),
    },
    "pgd-50": {
        "torchattacks": torchattacks("PGD", alpha=_quarter, steps=50),
        "foolbox": foolbox("LinfPGD", rel_stepsize=0.25, steps=50),
        "adv-lib": adv_lib("pgd_linf", steps=50, relative_step_size=0.25),
    },
    "apgd-ce": {
        "torchattacks": torchattacks("APGD", steps=100, loss="ce"),
        "adv-lib": adv_lib("apgd", norm=float("inf"), n_iter=100, loss_function="ce"),
        "pyautoattack": autoattack("apgd-ce"),
    },
    "apgd-dlr": {
        "torchattacks": torchattacks("APGD", steps=100, loss="dlr"),
        "adv-lib": adv_lib("apgd", norm=float("inf"), n_iter=100, loss_function="dlr"),
        "pyautoattack": autoattack("apgd-dlr"),
    },
    "apgd-t": {
        "torchattacks": torchattacks("APGDT", steps=100),
        "adv-lib": adv_lib("apgd_targeted", norm=float("inf"), n_iter=100),
        "pyautoattack": autoattack("apgd-t"),
    },
    "fab-t": {"pyautoattack": autoattack("fab-t")},
    "square": {
        "torchattacks": torchattacks("Square", n_queries=5000),
        "pyautoattack": autoattack("square"),
        "mended": square_anywhere,
    },
    "autoattack": {"pyautoattack": autoattack()},
}


def installed(library: str) -> ModuleType | None:
    """The library's module, None when it or something that it needs is not there."""
    with suppress(ImportError):
        import_torchvision()  # some of them import it, even where its compiled part does not fit
    try:
        return importlib.import_module(MODULES[library])
    except ImportError:
        return None
