"""How weights move: the schedules of the learning rate, and the optimisers."""

import torch
from torch import Tensor

from lineage.engine.recipe import Recipe

MOMENTUM = 0.9
TINY = 1e-30  # instead of dividing by zero


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
    adam._warned_capturable_if_run_uncaptured = True  # no warning: the warm-up runs of a CUDA graph are outside of it
    return adam


class Muon(torch.optim.SGD):
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) for the kernels of convolutions, and SGD for
    everything else, the last layer too.

    A kernel's step has the direction of its gradient with Nesterov momentum, made orthogonal as a matrix of a row per
    output channel. As in Jordan's `airbench94_muon`, a kernel's norm is fixed and there is no weight decay; here it is
    the initial norm. This suits networks with batch norm, whose outputs do not depend on the norms of their kernels.
    Unlike there, each step is the same fraction of that norm, whatever the kernel's shape. (`torch.optim.Muon` takes
    matrices only.)
    """

    def __init__(self, groups: list[dict], lr: Tensor, recipe: Recipe) -> None:
        super().__init__(groups, lr=lr, momentum=MOMENTUM, nesterov=recipe.nesterov, fused=True)
        self._relative = recipe.muon_step / recipe.lr

    @torch.no_grad()
    def step(self) -> None:
        """One step of all parameters that have a gradient."""
        moved = [
            (parameter, parameter.grad, group["lr"] * self._relative)
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.ndim == 4 and parameter.grad is not None
        ]
        for kernel, _, _ in moved:
            kernel.grad = None  # so that SGD leaves it alone
        super().step()
        for kernel, gradient, length in moved:
            memory = self.state[kernel]
            if "momentum_buffer" not in memory:
                memory["momentum_buffer"] = torch.zeros_like(kernel)
            momentum = memory["momentum_buffer"].mul_(MOMENTUM).add_(gradient)
            step = orthogonal((gradient + MOMENTUM * momentum).flatten(1)).view_as(kernel)
            norm = kernel.norm()
            kernel.sub_(step * (length * norm / step.norm().clamp(min=TINY)))
            kernel.mul_(norm / kernel.norm().clamp(min=TINY))
            kernel.grad = gradient


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix with the singular vectors of this one and singular values between about 0.7 and 1.2, but for those that
    are much smaller than its largest: five Newton-Schulz iterations with the coefficients of Jordan et al. 2024, in
    bfloat16, which is accurate enough for a direction.
    """
    x = (matrix / matrix.abs().max().clamp(min=TINY)).bfloat16()  # squares of small numbers would be 0
    x = x.T if len(matrix) > matrix.shape[1] else x
    x = x / x.norm().clamp(min=TINY)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.T if len(matrix) > matrix.shape[1] else x).to(matrix.dtype)


OPTIMISERS = {"sgd": _sgd, "adam": _adam, "muon": Muon}


@torch.no_grad()
def shorten(weights: list[Tensor], before: list[Tensor], trust: float) -> None:
    """Shorten, in place, the step from `before` to `weights` where it is longer than `trust` times the norm of
    `before`, tensor by tensor.
    """
    steps = torch._foreach_sub(weights, before)
    for weight, old, step in zip(weights, before, steps, strict=True):
        longest = trust * old.norm()
        weight.copy_(old + step * (longest / step.norm().clamp(min=TINY)).clamp(max=1))
