"""How weights move: the schedules of the learning rate, and the optimisers."""

import torch
from torch import Tensor

from lineage.engine.recipe import Recipe


def learning_rate(schedule: str, lr: float, warm_up: float, step: int, steps: int) -> float:
    """The learning rate of one step (from 0) of `steps`: a pure function, so that a run can go on from anywhere."""
    return SCHEDULES[schedule](lr, step, steps, round(warm_up * steps))


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
    nesterov = recipe.nesterov and recipe.momentum > 0
    return torch.optim.SGD(groups, lr=lr, momentum=recipe.momentum, nesterov=nesterov, fused=True)


def _adam(groups: list[dict], lr: Tensor, recipe: Recipe) -> torch.optim.Optimizer:
    betas = recipe.momentum, 0.999
    return torch.optim.Adam(groups, lr=lr, betas=betas, fused=True, capturable=lr.is_cuda)


OPTIMISERS = {"sgd": _sgd, "adam": _adam}
