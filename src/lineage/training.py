"""The training loop, one for every network, data set and device."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lineage.augment import Images, epoch_seed, plan
from lineage.errors import Failure
from lineage.recipe import Recipe

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Epoch:
    """One line of a history. Errors are fractions; the training error is the epoch's average, with augmentation."""

    seed: int
    epoch: int
    lr: float  # the highest of the epoch
    train_loss: float
    train_error: float
    val_loss: float
    val_error: float


def learning_rate(schedule: str, lr: float, warm_up: float, step: int, steps: int) -> float:
    """The learning rate of one step (from 0) of `steps`: a pure function, so that a run can go on from anywhere."""
    return SCHEDULES[schedule](lr, step, steps, max(1, round(warm_up * steps)))


def _onecycle(lr: float, step: int, steps: int, warm: int) -> float:
    return lr * ((step + 1) / warm if step < warm else (steps - step) / (steps - warm))


def _steps(lr: float, step: int, steps: int, warm: int) -> float:
    """He et al. 2015, section 4.2: 64k iterations, divided by 10 at 32k and at 48k."""
    return lr * (1 if 2 * step < steps else 0.1 if 4 * step < 3 * steps else 0.01)


SCHEDULES = {"onecycle": _onecycle, "steps": _steps}


def prepare(device: torch.device, threads: int) -> None:
    """Make torch deterministic: what cannot be is an error. The number of CPU threads counts too, because it orders
    sums.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its first use
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.set_num_threads(threads)
    if device.type == "cpu":
        torch.set_flush_denormal(True)


def fit(
    network: nn.Module, train: Images, labels: Tensor, val: Images, val_labels: Tensor, recipe: Recipe, seed: int
) -> Iterator[Epoch]:
    """Train `network` in place, and yield a line of history after each epoch.

    The network, the images and the labels (N, int64) are on one device. Raises `Failure` when the loss is no longer
    finite.
    """
    device = labels.device
    steps, per_epoch = recipe.steps(len(train))
    batch_size = min(recipe.batch_size, len(train))
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]  # biases and batch norm: no weight decay
    optimiser = torch.optim.SGD(
        [{"params": kernels, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,
        fused=True,
    )
    step = 0
    for epoch in range(1, -(-steps // per_epoch) + 1):
        network.train()
        torch.manual_seed(epoch_seed(seed, epoch))  # for dropout
        choices = plan(seed, epoch, len(train), recipe.shift, recipe.flip, recipe.rotate, recipe.zoom)
        order, shift, flip = choices.order.to(device), choices.shift.to(device), choices.flip.to(device)
        turn = None if choices.turn is None else choices.turn.to(device)
        total, wrong = torch.zeros(2, dtype=torch.float64, device=device)
        done, highest = min(per_epoch, steps - step), 0.0
        for which in order[: done * batch_size].split(batch_size):
            lr = learning_rate(recipe.schedule, recipe.lr, recipe.warm_up, step, steps)
            for group in optimiser.param_groups:
                group["lr"] = lr
            x, y = train.batch(which, shift, flip, turn), labels[which]
            with torch.autocast(device.type, DTYPES[recipe.precision], enabled=recipe.precision != "fp32"):
                logits = network(x)
            loss = F.cross_entropy(logits.float(), y, label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            total += loss.detach()
            wrong += (logits.argmax(1) != y).sum()
            step, highest = step + 1, max(highest, lr)
        train_loss, train_error = (total / done).item(), (wrong / (done * batch_size)).item()
        if not torch.isfinite(total):
            raise Failure(f"seed {seed}: the loss is not finite in epoch {epoch} at lr {highest:g}: lower train.lr")
        logits = predict(network, val, recipe.precision)
        val_loss = F.cross_entropy(logits, val_labels).item()
        val_error = (logits.argmax(1) != val_labels).double().mean().item()
        yield Epoch(seed, epoch, highest, train_loss, train_error, val_loss, val_error)


@torch.no_grad()
def predict(network: nn.Module, images: Images, precision: str, batch_size: int = 250) -> Tensor:
    """Logits (N×classes, float32) of all images without augmentation, with batch norm and dropout as in use."""
    network.eval()
    device = images.pixels.device
    parts = []
    for start in range(0, len(images), batch_size):
        with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
            parts.append(network(images.plain(start, start + batch_size)).float())
    return torch.cat(parts)
