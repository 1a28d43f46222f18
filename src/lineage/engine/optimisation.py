"""How weights move: the schedules of the learning rate, and the optimisers."""

import torch
from torch import Tensor

from lineage.engine.recipe import Recipe

MOMENTUM = 0.9


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of one step (from 0) of `steps`: a pure function, so that a run can go on from anywhere."""
    return SCHEDULES[recipe.schedule](recipe.lr, step, steps, recipe.warm_up_of(steps))


def _onecycle(lr: float, step: int, steps: int, warm: int) -> float:
    warm = max(1, warm)
    return lr * ((step + 1) / warm if step < warm else (steps - step) / (steps - warm))


def _steps(lr: float, step: int, steps: int, warm: int) -> float:
    """He et al. 2015, section 4.2: divided by 10 at 32k and 48k of 64k iterations; for 110 layers 400 at 0.01 first."""
    return _constant(lr, step, steps, warm) * (1 if 2 * step < steps else 0.1 if 4 * step < 3 * steps else 0.01)


def _constant(lr: float, step: int, steps: int, warm: int) -> float:
    return lr * (0.1 if step < warm else 1)


SCHEDULES = {"onecycle": _onecycle, "steps": _steps, "constant": _constant}


def _sgd(groups: list[dict], lr: Tensor, recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=lr, momentum=MOMENTUM, nesterov=recipe.nesterov, fused=True)


def _adam(groups: list[dict], lr: Tensor, _: Recipe) -> torch.optim.Optimizer:
    adam = torch.optim.Adam(groups, lr=lr, betas=(MOMENTUM, 0.999), fused=True, capturable=lr.is_cuda)
    adam._warned_capturable_if_run_uncaptured = True  # no warning: the rehearsals of a CUDA graph run outside of it
    return adam


OPTIMISERS = {"sgd": _sgd, "adam": _adam}


@torch.no_grad()
def shorten(weights: list[Tensor], before: list[Tensor], trust: float) -> None:
    """Shorten, in place, the step from `before` to `weights` where it is longer than `trust` times the norm of
    `before`, tensor by tensor.
    """
    steps = torch._foreach_sub(weights, before)
    for weight, old, step in zip(weights, before, steps, strict=True):
        longest = trust * old.norm()
        weight.copy_(old + step * (longest / step.norm().clamp(min=1e-30)).clamp(max=1))
