"""One epoch, step by step. Nothing but arithmetic happens in a step, and a GPU is never waited for within an epoch."""

import math
import time
from collections.abc import Generator

import torch
from torch import nn

from windfirm import seeds
from windfirm.adjust.average import update
from windfirm.adjust.distributed import join_gradients, processes, rank, share, total
from windfirm.adjust.recipe import Epoch, Progress
from windfirm.adjust.schedule import SCHEDULES
from windfirm.adjust.training import Training
from windfirm.data.augment import sent
from windfirm.models.device import autocast


def epoch(training: Training, network: nn.Module, progress: Progress | None) -> Generator[None, None, Epoch]:
    """The next pass over the images, with a pause after every step, so that several trainings can take turns.

    ``network`` is what a step calls: the model, or what was made of it. Whatever is drawn at random belongs to the
    seed and the epoch (to the step, where the network draws), and not to what else is trained meanwhile.
    """
    material, course, number = training.material, training.course, len(training.history)
    recipe, labels, seed, device = course.recipe, material.labels, course.seed, material.labels.device
    last_loss = training.history[-1].loss if training.history else math.nan
    count = len(material.rows)
    order = material.rows[torch.randperm(count, generator=seeds.stream(seed, "order", number))]
    batches = [*torch.split(order, recipe.batch)]
    if len(batches) > 1 and len(batches[-1]) == 1:  # the statistics of a batch need more than one image
        batches[-2:] = [torch.cat(batches[-2:])]
    augmentation = seeds.stream(seed, "augment", number)
    place = [rank()] if rank() else []
    randomness = seeds.stream(seed, "objective", number, *place)
    schedule = SCHEDULES[recipe.schedule]
    loss_sum = torch.zeros((), device=device)
    right = torch.zeros((), device=device)
    seen = 0
    start = time.perf_counter()
    for i, batch in enumerate(batches):
        training.optimizer.param_groups[0]["lr"] = recipe.lr * schedule((number + i / len(batches)) / recipe.epochs)
        mine = share(len(batch))
        images, target = material.augment(batch, augmentation, mine), labels[sent(batch[mine], device)]
        with seeds.default_stream(seed, "network", number, i, *place), autocast(device):
            loss, logits = course.objective(network, images, target, randomness)
        training.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss if processes() == 1 else loss * (len(target) / len(batch)))
        join_gradients(training.model)
        training.optimizer.step()
        if training.average is not None and course.extras.ema is not None:
            update(training.average, training.model, course.extras.ema, number * len(batches) + i)
        loss_sum += loss.detach() * len(target)
        right += (logits.detach().argmax(1) == target).sum()
        seen += len(batch)
        if progress and (device.type == "cpu" or i % 20 == 0):
            speed = seen / (time.perf_counter() - start)
            progress(number * count + seen, recipe.epochs * count, speed, last_loss)
        yield
    loss_all, right_all = total(torch.stack([loss_sum, right])).tolist()  # waits for the device
    seconds = time.perf_counter() - start
    return Epoch(number + 1, loss_all / count, right_all / count, count / seconds, seconds)
