"""What a good reviewer would doubt, found in the network itself: outputs and gradients that weaken an attack.

The probes after Croce et al. (RobustBench's checks) and Pintor et al., "Indicators of Attack Failure" (NeurIPS 2022).
Each takes a network as the evaluator uses it, images (n, c, h, w) in [0, 1] and, where it needs them, labels (n,).
"""

from math import inf

import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from windfirm.adjust.objective import margin
from windfirm.adjust.signs import step
from windfirm.attack.budget import show_eps
from windfirm.evaluate.memory import Batches
from windfirm.evaluate.outcome import Outcome
from windfirm.evaluate.paired import contrast
from windfirm.evaluate.warnings import LEVEL, Finding

#: Rows of outputs that sum to 1 within this are taken for probabilities.
SUM = 1e-5
#: How often the same images are shown, and how far normalised outputs may then differ.
PASSES, SPREAD = 5, 1e-4
#: A network that gives so many images of several classes one answer has learnt nothing.
ASKED = 40
#: The share of images that may lack a gradient.
LACKING = 0.01
#: A step this small along their gradient brings nearly all images nearer to an error; a share below this is too few.
NEAR, LEADING = 1 / 255, 0.9
#: Modules that compute something else in training.
MODAL = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


def training_mode(network: nn.Module) -> list[Finding]:
    """Dropout and batch normalisation that go on as in training: ``network`` is one on which eval() was called."""
    left = [
        f"{name} ({type(module).__name__})"
        for name, module in network.named_modules()
        if isinstance(module, MODAL) and (module.training or getattr(module, "running_mean", 0) is None)
    ]
    if not left:
        return []
    some = ", ".join(left[:3]) + (", …" if len(left) > 3 else "")
    text = f"{len(left)} modules work as in training although eval() was called: {some}"
    return [Finding("training mode", text)]


@torch.no_grad()
def outputs(network: nn.Module, images: Tensor, batches: Batches) -> list[Finding]:
    """A softmax or sigmoid at the end, outputs that change from one pass to the next or with the batch."""
    size = batches.size
    first = _run(network, images, batches)
    if batches.size < size:  # some of it ran in larger batches: passes are compared only with batches alike
        first = _run(network, images, batches)
    found = []
    off = float((first.sum(1) - 1).abs().max())
    if off < SUM and float(first.min()) >= -SUM:
        text = (
            f"all {len(first)} rows of outputs are probabilities (their sums are 1 within {off:.0e}): a loss of logits "
            "takes a second softmax of them, and gradients vanish"
        )
        found.append(Finding("softmax at the end", text))
    elif float(first.min()) >= 0 and float(first.max()) <= 1:
        text = f"all {len(first)} rows of outputs lie in [0, 1]: a sigmoid flattens the differences that attacks climb"
        found.append(Finding("sigmoid at the end", text))
    halves = Batches(max(min(batches.size, len(images)) // 2, 1))
    spread = max((_distance(first, _run(network, images, batches)) for _ in range(PASSES - 1)), default=0.0)
    if spread > SPREAD:
        text = f"outputs, normalised to length 1, differ by up to {spread:.2g} between {PASSES} passes"
        found.append(Finding("random forward pass", text))
    elif (other := _distance(first, _run(network, images, halves))) > SPREAD:
        text = f"outputs, normalised to length 1, differ by up to {other:.2g} when other images share their batch"
        found.append(Finding("outputs depend on the batch", text))
    return found


@torch.no_grad()
def answers(network: nn.Module, images: Tensor, labels: Tensor, batches: Batches) -> list[Finding]:
    """One answer to all images, where there are enough and they are of several classes."""
    if len(images) < ASKED or bool((labels == labels[0]).all()):
        return []
    given = _run(network, images, batches).argmax(1)
    if bool((given != given[0]).any()):
        return []
    text = f"all {len(images)} images are taken for class {int(given[0])}: what is right is its share, attacked or not"
    return [Finding("one answer to everything", text)]


def gradients(network: nn.Module, images: Tensor, labels: Tensor, batches: Batches, eps: float) -> list[Finding]:
    """Images without a gradient, a gradient that is not that of the outputs, logits too large for float32.

    They are too large where the cross-entropy has no gradient that float32 can hold. FGSM of the plain cross-entropy is
    run on the logits as they are and on each image's logits divided by their standard deviation. Where the first leaves
    more images right the logits saturate. Larger logits than the network's own tell nothing: a factor of 100 takes the
    gradient from any network that is sure of itself.
    """
    parts = batches.over(torch.arange(len(images)), lambda some: slopes(network, images[some], labels[some]))
    right, of_margin, plain, calm = (torch.cat(part) for part in zip(*(found for _, found in parts), strict=True))
    if not bool(right.any()):
        return []
    found = [
        *_lacking(of_margin[right], "zero gradients", "no gradient at all: the outputs do not follow the images"),
        *_lacking(plain[right], "vanishing gradients", "no gradient of the cross-entropy that float32 can hold"),
        *_misleading(network, images[right], labels[right], of_margin[right], batches),
    ]
    as_is, rescaled = (_fooled(network, step(images, s.sign(), eps), labels, batches, eps) for s in (plain, calm))
    worse = contrast(as_is, rescaled)
    if worse.p < LEVEL and worse.points > 0:
        text = (
            f"FGSM of the cross-entropy leaves {100 * as_is.accuracy:.1f} % on the logits as they are and "
            f"{100 * rescaled.accuracy:.1f} % on logits divided by their standard deviation (p = {worse.p:.2g})"
        )
        found.append(Finding("saturated logits", text))
    return found


def differentiable(network: nn.Module, images: Tensor) -> bool:
    """Whether the outputs have a gradient with respect to ``images``, be it zero."""
    with torch.enable_grad():
        return bool(network(images.detach().requires_grad_()).requires_grad)


def slopes(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Which ``images`` are classified right (b,), and three gradients with respect to them, from one forward pass.

    Those of the margin, of the cross-entropy, and of the cross-entropy of each image's logits divided by their standard
    deviation. Zeros where the outputs have none, or none that is a number.
    """
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        logits = network(images)
        right = logits.detach().argmax(1) == labels
        if not logits.requires_grad:
            none = torch.zeros_like(images)
            return right, none, none, none
        spread = _spread(logits.detach())
        losses = (
            margin(logits, labels),
            F.cross_entropy(logits, labels, reduction="none"),
            F.cross_entropy(logits / spread, labels, reduction="none"),
        )
        found = [
            torch.autograd.grad(loss.sum(), images, retain_graph=True, allow_unused=True, materialize_grads=True)[0]
            for loss in losses
        ]
    of_margin, plain, calm = (gradient.nan_to_num() for gradient in found)
    return right, of_margin, plain, calm


def _spread(logits: Tensor) -> Tensor:
    """The standard deviation of each row, (n, 1), above 0; of its finite values: masks make of others −infinity."""
    finite = logits.isfinite()
    count = finite.sum(1, keepdim=True)
    off = logits - logits.where(finite, 0).sum(1, keepdim=True) / count
    variance = off.where(finite, 0).square().sum(1, keepdim=True) / count
    return variance.sqrt().clamp(min=torch.finfo(logits.dtype).tiny)


def _lacking(slopes: Tensor, kind: str, what: str) -> list[Finding]:
    none = (slopes.flatten(1) == 0).all(1)
    share = float(none.double().mean())
    if share <= LACKING:
        return []
    return [Finding(kind, f"{int(none.sum())} of {len(none)} rightly classified images have {what}")]


@torch.no_grad()
def _misleading(network: nn.Module, images: Tensor, labels: Tensor, slopes: Tensor, batches: Batches) -> list[Finding]:
    """Whether the margin grows where its gradient says so: a backward pass may say anything."""
    has = (slopes != 0).flatten(1).any(1)
    if not bool(has.any()):
        return []
    images, labels, moved = images[has], labels[has], step(images[has], slopes[has].sign(), NEAR)
    before, after = (margin(_run(network, shown, batches), labels) for shown in (images, moved))
    nearer = int((after > before).sum())
    if stats.binom.cdf(nearer, len(images), LEADING) >= LEVEL:
        return []
    text = (
        f"a step of {show_eps(NEAR)} along the gradient brings only {nearer} of {len(images)} rightly classified "
        "images nearer to an error: it does not say where the outputs go, and attacks that follow it are led astray"
    )
    return [Finding("misleading gradients", text)]


def _run(network: nn.Module, images: Tensor, batches: Batches) -> Tensor:
    ran = batches.over(torch.arange(len(images)), lambda some: network(images[some]))
    return torch.cat([found for _, found in ran]).double()


def _distance(first: Tensor, second: Tensor) -> float:
    """How far apart two passes are; infinite where one is and the other is not."""
    if bool((first.isinf() != second.isinf()).any()):
        return inf
    one, other = (F.normalize(each.where(each.isfinite(), 0), dim=1) for each in (first, second))
    return float((one - other).abs().max())


@torch.no_grad()
def _fooled(network: nn.Module, images: Tensor, labels: Tensor, batches: Batches, eps: float) -> Outcome:
    right = (_run(network, images, batches).argmax(1) == labels).long().cpu().numpy()
    return Outcome("fgsm", "FGSM of the cross-entropy", eps, 1, right)
