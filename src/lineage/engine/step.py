"""One step of training: a batch is gathered and augmented on the device; then come the forward and the backward pass,
in bfloat16 where the recipe says so, and the optimiser's update.

All that a step reads and writes lies in fixed places, because a CUDA graph knows its tensors by their addresses.
"""

import copy
import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lineage.engine.augment import Batch, Images, Plan
from lineage.engine.device import autocast
from lineage.engine.optimisation import OPTIMISERS, shorten
from lineage.engine.recipe import Recipe
from lineage.errors import Failure


class Step:
    """What one step of a training needs, and what it changes."""

    def __init__(self, network: nn.Module, train: Images, recipe: Recipe, plan: Plan) -> None:
        """`network`, as initialised, and the images are on one device; `plan` is that of any epoch."""
        self.network, self.train, self.recipe = network, train, recipe
        device = train.labels.device
        everything, kernels = list(network.parameters()), [p for p in network.parameters() if p.ndim > 1]
        decaying = everything if recipe.decay == "all" else kernels
        spared = [] if recipe.decay == "all" else [p for p in everything if p.ndim <= 1]
        groups = [{"params": decaying, "weight_decay": recipe.weight_decay}, {"params": spared, "weight_decay": 0.0}]
        self.lr = torch.zeros((), device=device)
        self.optimiser = OPTIMISERS[recipe.optimiser](groups, self.lr, recipe)
        self.parameters, self._kernels = everything, kernels
        # what is validated and kept: the network itself, or its moving average
        self.result = copy.deepcopy(network) if recipe.ema else network
        self.which = torch.zeros(min(recipe.batch_size, len(train)), dtype=torch.long, device=device)  # the batch
        self.choices = plan.to(device)
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)  # of losses, and of wrong answers

    def begin(self, plan: Plan) -> None:
        """Take over an epoch's choices, and forget the sums of the last one."""
        for place, choice in zip(self.choices, plan, strict=True):
            if place is not None:
                place.copy_(choice)
        self.sums.zero_()

    def take(self) -> None:
        """One step on the images at `which`; what a CUDA graph holds."""
        recipe = self.recipe
        batch = self.train.batch(self.which, self.choices, recipe.cutout)
        self.optimiser.zero_grad(set_to_none=True)
        with autocast(batch.images.device, recipe.precision):
            logits = self.network(batch.images)
        loss, labels = cross_entropy(logits.float(), batch, recipe.label_smoothing)
        loss.backward()
        if recipe.clip:
            nn.utils.clip_grad_norm_(self.parameters, recipe.clip)
        before = [kernel.detach().clone() for kernel in self._kernels] if recipe.trust else []
        self.optimiser.step()
        if recipe.trust:
            shorten(self._kernels, before, recipe.trust)
        self.sums[0] += loss.detach()
        self.sums[1] += (logits.argmax(1) != labels).sum()
        if recipe.ema:
            pairs = zip(self.result.state_dict().values(), self.network.state_dict().values(), strict=True)
            averages, values = zip(*((a, v) for a, v in pairs if a.is_floating_point()), strict=True)
            torch._foreach_lerp_(averages, values, 1 - recipe.ema)

    def captured(self) -> Callable[[], None]:
        """The step as a CUDA graph, for the present input size. Its warm-up runs change weights: they are set back, in
        place. Raises `Failure`: after a capture that failed, torch cannot be relied on in this process.
        """
        before, stream = copies(self.state()), _side_stream()
        self.network.train()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.take()
        torch.cuda.current_stream().wait_stream(stream)
        self.optimiser.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=stream):
                self.take()
        except RuntimeError as error:
            cause = error.__context__ or error  # the error itself may say no more than that the capture has ended
            if isinstance(cause, torch.cuda.OutOfMemoryError):
                raise cause from None
            reason = (str(cause).splitlines() or [type(cause).__name__])[0]
            raise Failure(
                f"cannot capture a CUDA graph ({reason}): CUDA_GRAPHS=0 in front of the command trains without one, "
                "more slowly"
            ) from None
        self.restore(before)
        return graph.replay

    def state(self) -> dict[str, Tensor]:
        """What changes from step to step, by name: weights and buffers, their averages, and the optimiser's memory."""
        state = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.recipe.ema:
            state |= {f"average/{name}": tensor for name, tensor in self.result.state_dict().items()}
        for i, parameter in enumerate(self.parameters):
            memory = self.optimiser.state[parameter]
            state |= {f"optimiser/{i}/{key}": value for key, value in memory.items() if isinstance(value, Tensor)}
        return state

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Set everything in place to what `state` was; what the optimiser remembers beyond that becomes zero, as at
        its first step.
        """
        for name in state.keys() - self.state().keys():  # the memory of an optimiser that has made no step yet
            _, i, key = name.split("/")
            parameter = self.parameters[int(i)]
            # a matrix in the parameter's own order in memory, on which fused optimisers rely
            like = parameter if state[name].ndim else torch.empty((), device=parameter.device)
            self.optimiser.state[parameter][key] = torch.zeros_like(like)
        for name, place in self.state().items():
            place.copy_(state[name]) if name in state else place.zero_()


@functools.cache
def _side_stream() -> torch.cuda.Stream:
    """The stream of all captures of this process: cuBLAS keeps memory for each stream that it has worked on."""
    return torch.cuda.Stream()


def cross_entropy(logits: Tensor, batch: Batch, label_smoothing: float) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and the labels of what each image mostly shows (B)."""
    if batch.share is None:
        return F.cross_entropy(logits, batch.labels, label_smoothing=label_smoothing), batch.labels
    own, other = (
        F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
        for labels in (batch.labels, batch.others)
    )
    labels = torch.where(batch.share >= 0.5, batch.labels, batch.others)
    return (batch.share * own + (1 - batch.share) * other).mean(), labels


def copies(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}
