"""Defects of the four articles, one at a time: networks, training images and evaluation as they print them. All of this
is wrong on purpose, and for src/defects.py alone, which measures what each defect does to the error that is reported.
docs/errata.md says what is wrong with each. Validation images play the test set here: the test set stays unread.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lineage.engine.augment import Images
from lineage.engine.device import autocast
from lineage.engine.training import Training

BATCH = 32  # tested images at a time, where that matters (S1)
NORM, DROPOUT = nn.BatchNorm2d, nn.Dropout


@dataclass(frozen=True)
class Defect:
    """What is wrong with the training, or else with the judgement of a network that was trained as it should be."""

    articles: str
    network: str = "residual"  # a key of `networks` in the block `defects` of params.yaml
    spoil: Callable[[nn.Module], None] | None = None  # the network before it is trained
    tested: float = 0.0  # the fraction of the tested images that are trained on as well
    judge: Callable[[Training], float] | None = None  # the error that is reported

    @property
    def in_training(self) -> bool:
        return self.judge is None


def large_eps(network: nn.Module) -> None:
    """`BatchNorm2d(c, 0.9)`: the second argument is eps, not the momentum."""
    for module in network.modules():
        if isinstance(module, NORM):
            module.eps = 0.9


@torch.no_grad()
def positive_weights(network: nn.Module) -> None:
    """Kernels that start as random numbers in [0, 1], from torch's global generator."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.uniform_(0, 1)


def with_tested(train: Images, tested: Images, fraction: float, seed: int) -> Images:
    """The training images and a random fraction of the tested ones (no border), as the training images are stored."""
    generator = torch.Generator().manual_seed(seed)
    few = torch.randperm(len(tested), generator=generator)[: round(fraction * len(tested))].to(tested.labels.device)
    more = tested.pixels[few]  # n×S×S×3
    if train.pad:
        bordered = F.pad(more.permute(0, 3, 1, 2).float(), (train.pad,) * 4, mode="reflect")
        more = bordered.byte().permute(0, 2, 3, 1)
    both = copy.copy(train)
    both.pixels = torch.cat([train.pixels, more])
    both.labels = torch.cat([train.labels, tested.labels[few]])
    return both


def best_epoch(job: Training) -> float:
    """The lowest error of any epoch on the tested images."""
    return min(line.val_error for line in job.history)


def without_eval(
    job: Training, kinds: tuple[type[nn.Module], ...], batches: Callable[[Images], Iterable[Tensor]]
) -> float:
    """The error where layers of these kinds work as in training, on the tested images batch by batch."""
    network = copy.deepcopy(job.result).eval()  # whose running statistics would move
    for module in network.modules():
        if isinstance(module, kinds):
            module.train()
    images, wrong = job.val, 0
    everything = images.plain(0, len(images))
    with torch.no_grad(), autocast(everything.device, job.recipe.precision):
        for which in batches(images):
            wrong += int((network(everything[which]).argmax(1) != images.labels[which]).sum())
    return wrong / len(images)


def mixed(images: Images) -> Iterable[Tensor]:
    """Positions in random order, a batch at a time."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return order.to(images.labels.device).split(BATCH)


def by_class(images: Images) -> Iterable[Tensor]:
    """One class after the other, as in folders, a batch at a time."""
    return images.labels.argsort(stable=True).split(BATCH)


def one_by_one(images: Images) -> Iterable[Tensor]:
    return torch.arange(len(images), device=images.labels.device).split(1)


DEFECTS: dict[str, Defect] = {
    "batch norm with eps 0.9": Defect("S0", spoil=large_eps),
    "weights start in [0, 1]": Defect("S0", spoil=positive_weights),
    "a tenth of the test images trained on": Defect("S1", tested=0.1),
    "nine tenths of the test images trained on": Defect("S3", tested=0.9),
    "best epoch chosen on the test images": Defect("S3", judge=best_epoch),
    "no eval(): batches of 32": Defect("S1, S2", judge=partial(without_eval, kinds=(NORM,), batches=mixed)),
    "no eval(): images sorted by class": Defect("S1, S2", judge=partial(without_eval, kinds=(NORM,), batches=by_class)),
    "no eval(): one image at a time": Defect("S1", judge=partial(without_eval, kinds=(NORM,), batches=one_by_one)),
    "no eval(): dropout stays on as well": Defect(
        "S2", "dropout", judge=partial(without_eval, kinds=(NORM, DROPOUT), batches=mixed)
    ),
    "F.dropout(x, 0.5): dropout stays on": Defect(
        "S3", "dropout", judge=partial(without_eval, kinds=(DROPOUT,), batches=mixed)
    ),
}
