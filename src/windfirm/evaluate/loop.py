"""The only evaluation loop. It trusts no attack: it checks every image that comes back and predicts again itself.

Images that are already wrong cannot be attacked further, so a worst-case attack is given only what is left: images
leave the moment they are fooled, and batches are packed again from the others.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.adjust.signs import differentiable, step, uphill
from windfirm.attack.budget import Attack, Budget, parse_eps
from windfirm.attack.clean import clean
from windfirm.attack.fgsm import fgsm
from windfirm.attack.pieces import pieces
from windfirm.attack.projection import lengths
from windfirm.attack.registry import build
from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.errors import WindfirmError, brief, expected
from windfirm.evaluate.fold import folded
from windfirm.evaluate.memory import Batches, batched
from windfirm.evaluate.network import check_images, classify, outputs, private
from windfirm.evaluate.outcome import Outcome
from windfirm.evaluate.replay import Replayed
from windfirm.models.copies import copied
from windfirm.models.device import default_modes, in_float32, is_gpu, out_of_memory, placed, told_to_round
from windfirm.models.layout import arrange

#: Room for float32 rounding when the range and the size of a change are checked; a share of sizes above 1.
TOLERANCE = 1e-6

#: By how much float32 may round a value in [0, 1] that something is added to; in L2 that of all of them adds up.
ROUNDING = 2.0**-24

#: Batches that are given at once to an attack that packs what is left of them by itself.
MANY = 20

#: Pixels that a GPU looks at in about the time of one image: those of 256 small images, or of a few large ones.
AT_ONCE = 256 * 32 * 32

#: Images on which a faster network must agree with the one that it stands for.
SAMPLE = 4

#: Called after every batch with (done, all), both in images times passes: one for each trial and, unless the attack
#: averages, one before them without it. Images that were dropped count as done.
Progress = Callable[[int, int], None]


@default_modes()
@torch.no_grad()
def evaluate(
    model: nn.Module,
    images: Images,
    attack: str | Attack,
    *,
    eps: float | str | None = None,
    seed: int = 0,
    batch: int | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """How many draws of ``attack``, an Attack or a name, each of ``images`` survives, on a private copy of ``model``.

    It computes in float32. ``eps`` is as Attack.size reads it, 8/255 where it is None. An attack that averages is
    counted over all images and trials. Under any other, an image is right when its clean prediction is right and no
    trial fools the network. What a search that rounds stopped too early for the judge is searched once more in float32.
    ``device`` None is the CPU, wherever ``model`` is. ``batch`` images are shown to the network at once, half as many
    whenever memory runs out; the result does not depend on it. Raises InputError when model and images do not fit
    together, and WindfirmError when an attack returns images that it may not return.
    """
    check_images(images)
    attack, device = build(attack, images.side), placed(device)
    eps = attack.size(eps)
    if attack == fgsm(0):
        return curve(model, images, [eps], seed=seed, batch=batch, device=device, progress=progress)[0]
    network, batches = private(model, device, images.images), batched("evaluate", images, batch, device)
    count = len(images)
    first = 0 if attack.average else 1
    total = (first + attack.trials) * count
    correct = torch.zeros(count, dtype=torch.int64)
    target = cache(partial(searched, network, attack, images, device, batches.size))

    def look(target: nn.Module, ids: Tensor, attack: Attack, budget: Budget, before: int) -> Tensor:
        done = (before + 1) * count - len(ids)
        found = []
        work = partial(judged, network, target, images, attack, budget, batches, device)
        for some, verdicts in batches.over(ids, work, MANY if attack.packs else 1):
            found.append(verdicts)
            done += len(some)
            if progress:
                progress(done, total)
        return torch.cat(found, 1)

    def survivors(ids: Tensor, attack: Attack, budget: Budget, before: int) -> Tensor:
        with seeds.default_stream(seed, "network", attack.name, budget.trial):  # one that draws, draws the same again
            right, fooled = look(target(), ids, attack, budget, before)
        early = right & fooled
        if early.any():  # few, of all batches together
            with in_float32(), seeds.default_stream(seed, "network", attack.name, budget.trial, "again"):
                right[early] = look(target(), ids[early], attack, budget, before)[0]
        return ids[right]

    left = torch.arange(count)
    if not attack.average:
        left = survivors(left, clean(0), Budget(), 0)
    for trial in range(attack.trials):
        if len(left) == 0:
            if progress:
                progress(total, total)
            break
        right = survivors(left, attack, Budget(eps, seed, trial), first + trial)
        if attack.average:
            correct[right] += 1
        else:
            left = right
    if not attack.average:
        correct[left] = 1
    return outcome_of(attack, eps, correct)


@default_modes()
@torch.no_grad()
def curve(
    model: nn.Module,
    images: Images,
    epses: Sequence[float | str],
    *,
    seed: int = 0,
    batch: int | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> tuple[Outcome, ...]:
    """FGSM at each of ``epses``: one gradient an image for all of them, from the pass that makes the clean prediction.

    ``seed`` decides what a network draws that is random, ``progress`` counts images. Raises what evaluate raises.
    """
    check_images(images)
    sizes, device = [parse_eps(eps) for eps in epses], placed(device)
    network, batches = private(model, device, images.images), batched("evaluate", images, batch, device)
    attack = fgsm(0)
    correct = torch.zeros(len(sizes), len(images), dtype=torch.int64)

    def rows(some: Tensor) -> Tensor:
        pixels, labels = fetch(images, some, device)
        found = torch.zeros(len(sizes), len(some), dtype=torch.int64)
        right, signs = first_look(network, pixels, labels, images)
        if right.any():
            pixels, labels, signs = pixels[right], labels[right], signs[right]
            for row, eps in zip(found, sizes, strict=True):
                changed = checked(attack, pixels, step(pixels, signs, eps), eps)
                row[right.cpu()] = (classify(network, changed, images) == labels).long().cpu()
        return found

    with seeds.default_stream(seed, "network", attack.name, 0):
        for some, found in batches.over(torch.arange(len(images)), rows):
            correct[:, some] = found
            if progress:
                progress(int(some[-1]) + 1, len(images))
    return tuple(outcome_of(attack, eps, row) for eps, row in zip(sizes, correct, strict=True))


def first_look(network: nn.Module, pixels: Tensor, labels: Tensor, images: Images) -> tuple[Tensor, Tensor]:
    """Where ``network`` is right (b,), and the sign of the gradient of its loss there (b, c, h, w): one pass for both.

    The network itself is asked, so that the clean prediction is the judge's; the gradient of a folded one would take
    less, but a pass more.
    """
    with torch.enable_grad(), in_float32():
        pixels, logits = differentiable("fgsm", partial(outputs, network, images=images), pixels)
        right = logits.argmax(1) == labels
        return right, uphill(pixels, logits, labels) if right.any() else torch.zeros_like(pixels)


def judged(
    network: nn.Module,
    target: nn.Module,
    images: Images,
    attack: Attack,
    budget: Budget,
    batches: Batches,
    device: torch.device | None,
    ids: Tensor,
) -> Tensor:
    """What comes of the images at ``ids`` (b,) once ``attack`` has searched ``target``: (2, b) bool.

    First, whether ``network`` is still right. Then, whether ``target`` takes the image for fooled, where the search was
    less exact than that judge: if both hold, it stopped a little too early.
    """
    pixels, labels = fetch(images, ids, device)
    changed = attacked(target, pixels, labels, attack, replace(budget, ids=ids, batch=batches.size))

    def verdicts(changed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        right = classify(network, changed, images) == labels
        rough = attack.norm and rounding(device) and budget.trial not in attack.exact
        return right, target(changed).argmax(1) != labels if rough else torch.zeros_like(right)

    return torch.stack(pieces(verdicts, batches.size, changed, labels)).cpu()


def rounding(device: torch.device | None) -> bool:
    """Whether a search on ``device`` is less exact than float32: a GPU rounds to TF32, a processor if told to."""
    return is_gpu(device) or told_to_round()


def fetch(images: Images, ids: Tensor, device: torch.device | None) -> tuple[Tensor, Tensor]:
    """The images at ``ids`` as float32 in [0, 1], (b, c, h, w), and their labels (b,), on ``device``."""
    return to_float(images.images[ids].to(device)), images.labels[ids].to(device)


def searched(network: nn.Module, attack: Attack, images: Images, device: torch.device | None, most: int) -> nn.Module:
    """What ``attack`` is given instead of ``network``: the same, its own to spoil, and faster if it has a norm.

    It is faster for at most ``most`` images at once.
    """
    if not attack.norm:
        return copied(network)
    sample = fetch(images, torch.arange(min(len(images), SAMPLE)), device)[0]
    faster = folded(network, sample)
    arrange(faster, sample[:2], torch.channels_last)
    return Replayed(faster, sample, most).eval() if is_gpu(device) else faster


def attacked(network: nn.Module, pixels: Tensor, labels: Tensor, attack: Attack, budget: Budget) -> Tensor:
    """The images (b, c, h, w) that ``attack`` makes of ``pixels``, which stay as they are; checked."""
    network.eval()  # an attack may have switched it
    at_once = max(1, AT_ONCE // pixels.shape[2:].numel()) if is_gpu(pixels.device) else 1
    exact = in_float32() if budget.trial in attack.exact else nullcontext()
    with exact, torch.autocast(pixels.device.type, enabled=False), torch.enable_grad():
        try:
            changed = attack.apply(network, pixels.clone(), labels.clone(), replace(budget, at_once=at_once))
        except Exception as error:  # those of a user's own may raise anything
            if isinstance(error, WindfirmError) or out_of_memory(error):
                raise
            raise WindfirmError(expected(f"attack {attack.name}", "changed images", brief(error))) from error
    return checked(attack, pixels, changed, budget.eps)


def checked(attack: Attack, pixels: Tensor, changed: Tensor, eps: float) -> Tensor:
    """``changed`` if ``attack`` may return it for ``pixels``. Raises WindfirmError if it cheats.

    It must have the same shape and type, stay in [0, 1], and be at most ``eps`` away where the attack has a norm.
    """
    where = f"attack {attack.name}"
    if not isinstance(changed, Tensor):
        raise WindfirmError(expected(where, "a tensor of images", type(changed).__name__))
    if (changed.shape, changed.dtype) != (pixels.shape, pixels.dtype):
        wanted, got = (f"{tuple(images.shape)} {images.dtype}" for images in (pixels, changed))
        raise WindfirmError(expected(where, f"images {wanted}", got))
    changed = changed.detach()
    if not changed.isfinite().all():
        raise WindfirmError(expected(where, "finite images", "NaN or infinity"))
    low, high = changed.min().item(), changed.max().item()
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise WindfirmError(expected(where, "images in [0, 1]", f"values in [{low:.6g}, {high:.6g}]"))
    change = changed - pixels
    size = (lengths(change) if attack.norm == "l2" else change.abs()).max().item()
    room = TOLERANCE * max(1.0, eps)
    if attack.norm == "l2":
        room += ROUNDING * change[0].numel() ** 0.5
    if attack.norm and size > eps + room:
        raise WindfirmError(expected(where, f"changes of at most {eps:.6g}", f"{size:.6g}"))
    return changed


def outcome_of(attack: Attack, eps: float, correct: Tensor) -> Outcome:
    """What ``attack`` at ``eps`` came to, ``correct`` (n,) telling how many trials each image survived."""
    trials = attack.trials if attack.average else 1
    return Outcome(attack.name, attack.title, None if attack.norm is None else eps, trials, correct.numpy())
