"""The training engine, one for every network, data set and device.

The data set lies on the device; a step gathers its batch there, augments it, and goes forward, backward and down, in
bfloat16 where the recipe says so. On CUDA the step is one CUDA graph, on a CPU the same function runs as it stands.
Nothing waits for the device within an epoch. What an epoch does depends on the seed, the epoch and the weights alone,
so that a run goes on from the end of any epoch as if it had never stopped.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lineage.engine.augment import Batch, Images, Plan, epoch_seed, plan
from lineage.engine.device import autocast
from lineage.engine.optimisation import OPTIMISERS, learning_rate, shorten
from lineage.engine.recipe import Recipe


@dataclass(frozen=True)
class Epoch:
    """One line of a history. Errors are fractions; the training error is the epoch's average, with augmentation."""

    seed: int
    epoch: int
    lr: float  # the highest of the epoch
    train_loss: float  # not a number in the epoch that diverged, which is the last one
    train_error: float
    val_loss: float  # of the weights that would be kept if training ended here
    val_error: float


class Training:
    """One seed's training, an epoch at a time, with all that a step reads and writes in fixed places, because a CUDA
    graph knows its tensors by their addresses.
    """

    def __init__(
        self,
        network: nn.Module,
        train: Images,
        val: Images,
        recipe: Recipe,
        seed: int,
        graph: bool = True,
        say: Callable[[str], object] = print,
    ) -> None:
        """`network`, as initialised, and the images are on one device; without `graph`, a step on CUDA runs as it
        stands, to the same bits. `say` is told what a person should know.
        """
        self.network, self.train, self.val, self.recipe, self.seed = network, train, val, recipe, seed
        self.steps, self.per_epoch = recipe.steps(len(train))
        self.epochs = recipe.epochs_of(len(train))
        self.history: list[Epoch] = []
        device = train.labels.device
        everything, kernels = list(network.parameters()), [p for p in network.parameters() if p.ndim > 1]
        decaying = everything if recipe.decay == "all" else kernels
        spared = [] if recipe.decay == "all" else [p for p in everything if p.ndim <= 1]
        groups = [{"params": decaying, "weight_decay": recipe.weight_decay}, {"params": spared, "weight_decay": 0.0}]
        self._lr = torch.zeros((), device=device)
        self._optimiser = OPTIMISERS[recipe.optimiser](groups, self._lr, recipe)
        self._parameters, self._kernels = everything, kernels
        # what is validated and kept: the network itself, or its moving average
        self.result = copy.deepcopy(network) if recipe.ema else network
        self._best: dict[str, Tensor] = {}
        self._which = torch.zeros(min(recipe.batch_size, len(train)), dtype=torch.long, device=device)
        self._choices = self._plan(1).to(device)
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)  # of losses, and of wrong answers
        self._graph = graph and device.type == "cuda"
        self._say = say
        self._replays: dict[int, Callable[[], None]] = {}  # CUDA graphs, by the input size

    @property
    def diverged(self) -> bool:
        return bool(self.history) and math.isnan(self.history[-1].train_loss)

    @property
    def finished(self) -> bool:
        return self.diverged or len(self.history) == self.epochs

    @property
    def kept(self) -> Epoch:
        """The line of the epoch whose weights the recipe keeps: the last one, or the best one on validation."""
        return min(self.history, key=lambda line: line.val_error) if self._best else self.history[-1]

    def weights(self) -> dict[str, Tensor]:
        """The weights of `kept`; of a run that diverged, those from before the epoch in which it did."""
        return self._best or self.result.state_dict()

    def epoch(self, tick: Callable[[], object] = lambda: None) -> Epoch:
        """Train for one more epoch, validate, and return the new line of `history`; `tick` is called after each step,
        for which a GPU has had its orders only.

        A loss that is not finite ends the training: the weights go back to where the epoch began.
        """
        number, before = len(self.history) + 1, _copies(self._state())
        size = self.recipe.size_in(number, self.epochs)
        self.train.input_size = self.val.input_size = size
        if self._graph and size not in self._replays:
            self._replays[size] = self._capture()
        step = self._replays.get(size, self._step)
        self.network.train()
        torch.manual_seed(epoch_seed(self.seed, number))  # for dropout
        for place, choice in zip(self._choices, self._plan(number), strict=True):
            if place is not None:
                place.copy_(choice)
        self._sums.zero_()
        start, batch_size = (number - 1) * self.per_epoch, len(self._which)
        stop = min(start + self.per_epoch, self.steps)
        rates = [learning_rate(self.recipe, step, self.steps) for step in range(start, stop)]
        for i, lr in enumerate(rates):
            self._lr.fill_(lr)
            self._which.copy_(self._choices.order[i * batch_size : (i + 1) * batch_size])
            step()
            tick()
        loss, wrong = (self._sums / torch.tensor([1, batch_size], device=self._sums.device) / len(rates)).tolist()
        val_loss, val_error = self._validate()
        if not math.isfinite(loss) or not math.isfinite(val_loss):
            self._restore(before)
            loss, (val_loss, val_error) = math.nan, self._validate()
        elif self.recipe.keep == "best" and val_error < min((e.val_error for e in self.history), default=math.inf):
            self._best = _copies(self.result.state_dict())  # the first of equals, as in `kept`
        self.history.append(Epoch(self.seed, number, max(rates), loss, wrong, val_loss, val_error))
        return self.history[-1]

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """All that `resume` needs, as tensors and as numbers; of a training that has ended, no optimiser's memory."""
        state = {f"best/{name}": tensor for name, tensor in self._best.items()} | self._state()
        if self.finished:
            state = {name: tensor for name, tensor in state.items() if not name.startswith("optimiser/")}
        return state, {"history": [asdict(line) for line in self.history]}

    def resume(self, state: dict[str, Tensor], about: dict[str, object]) -> None:
        """Go on from what `state` gave, which may come from another process."""
        self.history = [Epoch(**line) for line in about["history"]]
        self._best = {name.removeprefix("best/"): t for name, t in state.items() if name.startswith("best/")}
        self._restore({name: tensor for name, tensor in state.items() if not name.startswith("best/")})

    def _plan(self, epoch: int) -> Plan:
        return plan(self.recipe, len(self.train), self.seed, epoch)

    def _step(self) -> None:
        """One step on the images at `_which`; what a CUDA graph holds."""
        recipe = self.recipe
        batch = self.train.batch(self._which, self._choices, recipe.cutout)
        self._optimiser.zero_grad(set_to_none=True)
        with autocast(batch.images.device, recipe.precision):
            logits = self.network(batch.images)
        loss, labels = _loss(logits.float(), batch, recipe.label_smoothing)
        loss.backward()
        if recipe.clip:
            nn.utils.clip_grad_norm_(self._parameters, recipe.clip)
        before = [kernel.detach().clone() for kernel in self._kernels] if recipe.trust else []
        self._optimiser.step()
        if recipe.trust:
            shorten(self._kernels, before, recipe.trust)
        self._sums[0] += loss.detach()
        self._sums[1] += (logits.argmax(1) != labels).sum()
        if recipe.ema:
            pairs = zip(self.result.state_dict().values(), self.network.state_dict().values(), strict=True)
            averages, values = zip(*((a, v) for a, v in pairs if a.is_floating_point()), strict=True)
            torch._foreach_lerp_(averages, values, 1 - recipe.ema)

    def _capture(self) -> Callable[[], None]:
        """The step as a CUDA graph, or as it stands where that fails. Its rehearsals change weights: they are set back,
        in place.
        """
        before = _copies(self._state())
        self.network.train()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        self._optimiser.zero_grad(set_to_none=True)
        graph, step = torch.cuda.CUDAGraph(), self._step
        try:
            with torch.cuda.graph(graph):
                self._step()
            step = graph.replay
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._say(f"no CUDA graph ({str(error).splitlines()[0]}): training goes on without, and more slowly")
        self._restore(before)
        return step

    def _state(self) -> dict[str, Tensor]:
        """What changes from step to step, by name: weights and buffers, their averages, and the optimiser's memory."""
        state = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.recipe.ema:
            state |= {f"average/{name}": tensor for name, tensor in self.result.state_dict().items()}
        for i, parameter in enumerate(self._parameters):
            memory = self._optimiser.state[parameter]
            state |= {f"optimiser/{i}/{key}": value for key, value in memory.items() if isinstance(value, Tensor)}
        return state

    @torch.no_grad()
    def _restore(self, state: dict[str, Tensor]) -> None:
        """Set everything in place to what `_state` was; what the optimiser remembers beyond that becomes zero, as at
        its first step.
        """
        for name in state.keys() - self._state().keys():  # the memory of an optimiser that has made no step yet
            _, i, key = name.split("/")
            parameter = self._parameters[int(i)]
            # a matrix in the parameter's own order in memory, on which fused optimisers rely
            like = parameter if state[name].ndim else torch.empty((), device=parameter.device)
            self._optimiser.state[parameter][key] = torch.zeros_like(like)
        for name, place in self._state().items():
            place.copy_(state[name]) if name in state else place.zero_()

    def _validate(self) -> tuple[float, float]:
        """Loss and error on the validation part."""
        logits = predict(self.result, self.val, self.recipe.precision)
        loss = F.cross_entropy(logits, self.val.labels)
        error = (logits.argmax(1) != self.val.labels).double().mean()
        return loss.item(), error.item()


def _loss(logits: Tensor, batch: Batch, label_smoothing: float) -> tuple[Tensor, Tensor]:
    """The cross-entropy of a batch, and the labels of what each image mostly shows (B)."""
    if batch.share is None:
        return F.cross_entropy(logits, batch.labels, label_smoothing=label_smoothing), batch.labels
    own, other = (
        F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
        for labels in (batch.labels, batch.others)
    )
    labels = torch.where(batch.share >= 0.5, batch.labels, batch.others)
    return (batch.share * own + (1 - batch.share) * other).mean(), labels


def _copies(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


@torch.no_grad()
def predict(network: nn.Module, images: Images, precision: str, batch_size: int = 250) -> Tensor:
    """Logits (N×classes, float32) of all images without augmentation, with batch norm and dropout as in use."""
    network.eval()
    parts = []
    for start in range(0, len(images), batch_size):
        with autocast(images.pixels.device, precision):
            parts.append(network(images.plain(start, start + batch_size)).float())
    return torch.cat(parts)
