"""The training engine, one for every network, data set and device.

The data set lies on the device, and so does all that a step needs (step.py). On CUDA the step is one CUDA graph, on a
CPU the same function runs as it stands. Nothing waits for the device within an epoch. What an epoch does depends on the
seed, the epoch and the state before it alone (weights, their average, the optimiser's memory), so that a run goes on
from the end of any epoch as if it had never stopped.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lineage.engine.augment import Images, epoch_seed, plan
from lineage.engine.device import autocast, graphs_wanted
from lineage.engine.optimisation import learning_rate
from lineage.engine.recipe import Recipe
from lineage.engine.step import Step, copies


@dataclass(frozen=True)
class Epoch:
    """One line of a history. Errors are fractions; the training error is the epoch's average, with augmentation."""

    seed: int
    epoch: int
    lr: float  # the highest of the epoch
    train_loss: float  # not a number in the epoch that diverged, which is the last one
    train_error: float
    val_loss: float  # of the network, or of its moving average, after this epoch
    val_error: float


class Training:
    """One seed's training, an epoch at a time."""

    def __init__(
        self, network: nn.Module, train: Images, val: Images, recipe: Recipe, seed: int, graph: bool = True
    ) -> None:
        """`network`, as initialised, and the images are on one device; without `graph`, a step on CUDA runs as it
        stands, which should give the same bits (not yet tried).
        """
        self.train, self.val, self.recipe, self.seed = train, val, recipe, seed
        self.steps, self.per_epoch = recipe.steps(len(train))
        self.epochs = recipe.epochs_of(len(train))
        self.history: list[Epoch] = []
        self.step = Step(network, train, recipe, plan(recipe, len(train), seed, 1))
        self._best: dict[str, Tensor] = {}
        self._graph = graph and train.labels.is_cuda and graphs_wanted()
        self._replay: Callable[[], None] | None = None  # the CUDA graph
        self._captured = 0  # the input size that it is for

    @property
    def result(self) -> nn.Module:
        """What is validated and kept: the network itself, or its moving average."""
        return self.step.result

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
        which on a GPU has then been launched, but need not be done.

        A loss that is not finite ends the training: the weights go back to where the epoch began.
        """
        step, number, before = self.step, len(self.history) + 1, copies(self.step.state())
        take = self._prepared(self.recipe.size_in(number, self.epochs))
        step.network.train()
        torch.manual_seed(epoch_seed(self.seed, number))  # for dropout
        choices = plan(self.recipe, len(self.train), self.seed, number)
        step.begin(choices)
        start, batch_size = (number - 1) * self.per_epoch, len(step.which)
        stop = min(start + self.per_epoch, self.steps)
        rates = [learning_rate(self.recipe, i, self.steps) for i in range(start, stop)]
        for i, lr in enumerate(rates):
            step.lr.fill_(lr)
            step.which.copy_(step.choices.order[i * batch_size : (i + 1) * batch_size])
            take()
            tick()
        loss, wrong = (step.sums / torch.tensor([1, batch_size], device=step.sums.device) / len(rates)).tolist()
        val_loss, val_error = self._validate()
        if not math.isfinite(loss) or not math.isfinite(val_loss):
            step.restore(before)
            loss, (val_loss, val_error) = math.nan, self._validate()
        elif self.recipe.keep == "best" and val_error < min((e.val_error for e in self.history), default=math.inf):
            self._best = copies(self.result.state_dict())  # the first of equals, as in `kept`
        self.history.append(Epoch(self.seed, number, max(rates), loss, wrong, val_loss, val_error))
        return self.history[-1]

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """All that `resume` needs, as tensors and as numbers; of a training that has ended, no optimiser's memory."""
        state = {f"best/{name}": tensor for name, tensor in self._best.items()} | self.step.state()
        if self.finished:
            state = {name: tensor for name, tensor in state.items() if not name.startswith("optimiser/")}
        return state, {"history": [asdict(line) for line in self.history]}

    def resume(self, state: dict[str, Tensor], about: dict[str, object]) -> None:
        """Go on from what `state` gave, which may come from another process."""
        self.history = [Epoch(**line) for line in about["history"]]
        self._best = {name.removeprefix("best/"): t for name, t in state.items() if name.startswith("best/")}
        self.step.restore({name: tensor for name, tensor in state.items() if not name.startswith("best/")})

    def _prepared(self, size: int) -> Callable[[], None]:
        """Set the size of the inputs, and return what takes a step with them."""
        self.train.input_size = self.val.input_size = size
        if not self._graph:
            return self.step.take
        if self._captured != size:
            self._replay = None  # an older graph gives its memory back first
            self._replay, self._captured = self.step.captured(), size
        return self._replay

    def _validate(self) -> tuple[float, float]:
        """Loss and error on the validation split."""
        logits = predict(self.result, self.val, self.recipe.precision)
        loss = F.cross_entropy(logits, self.val.labels)
        error = (logits.argmax(1) != self.val.labels).double().mean()
        return loss.item(), error.item()


@torch.no_grad()
def predict(network: nn.Module, images: Images, precision: str, batch_size: int = 250) -> Tensor:
    """Logits (N×classes, float32) of all images without augmentation, in evaluation mode."""
    network.eval()
    parts = []
    for start in range(0, len(images), batch_size):
        with autocast(images.pixels.device, precision):
            parts.append(network(images.plain(start, start + batch_size)).float())
    return torch.cat(parts)
