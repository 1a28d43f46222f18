"""An experiment as the benchmark trains it: with the training images of its data set's sample, because speed does not
depend on what they show.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lineage import archives, params, parts
from lineage.engine import augment
from lineage.engine.experiment import Experiment
from lineage.engine.recipe import Recipe
from lineage.errors import Mistake

# training images of the full sets; of any other, as many as its sample has
FULL = {
    "cifar10": 45_000,
    "cifar100": 45_000,
    "cifar100-all": 49_890,
    "cats-vs-dogs": 20_000,
    "cats-vs-dogs-cifar": 9_000,
}


@dataclass(frozen=True)
class Task:
    """An experiment, with the training split of its data set's sample in place of the data set."""

    experiment: Experiment
    images: np.ndarray  # N×S×S×3, uint8, not larger than the network's input
    labels: np.ndarray
    device: torch.device
    folder: Path  # for what has to lie on disk

    @property
    def recipe(self) -> Recipe:
        return self.experiment.recipe

    @cached_property
    def scaling(self) -> tuple[Tensor, Tensor]:
        """The mean and the deviation of each channel that the recipe normalises by."""
        own = map(torch.from_numpy, parts.channel_statistics(self.images.transpose(0, 3, 1, 2)))
        fixed = augment.SCALINGS.get(self.recipe.scaling)
        return tuple(torch.full((3,), value) for value in fixed) if fixed else tuple(own)

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch over the full training split."""
        return self.recipe.steps(FULL.get(self.experiment.dataset, len(self.labels)))[1]

    def network(self, layout: str = "NCHW") -> nn.Module:
        torch.manual_seed(0)
        return self.experiment.build().to(self.device, memory_format=augment.LAYOUTS[layout])

    def resident(self, images: int, pad: int = 0) -> augment.Images:
        """So many images on the device, as ours holds them."""
        which = np.arange(images) % len(self.images)
        pixels = torch.from_numpy(self.images[which]).permute(0, 3, 1, 2)
        labels = torch.from_numpy(self.labels[which])
        return augment.Images(
            pixels, labels, *self.scaling, self.recipe.input_size, self.device, pad, self.recipe.layout
        )


def prepared(experiment: Experiment, device: torch.device, folder: Path) -> Task:
    recipe, dataset = experiment.recipe, params.read().datasets.get(experiment.dataset)
    if dataset is None:
        raise Mistake(f"data/datasets.yaml has no {experiment.dataset}: run `dvc repro recipes` first")
    archive, size = Path("data/sample", dataset.sample.name), dataset.image_size
    if not archive.is_file():
        raise Mistake(f"{archive} is missing: put it there; the benchmark reads no other folder")
    about = dataset.sample.format, [archive], list(dataset.classes), size
    arrays, _ = archives.read(*about, unreadable=dataset.unreadable, subset=dataset.subset)
    images, labels = (arrays[key][arrays["part"] == 0] for key in ("images", "labels"))
    if recipe.input_size < size:  # once, for all three
        small = augment.shrink(torch.from_numpy(images).permute(0, 3, 1, 2), recipe.input_size)
        images = small.permute(0, 2, 3, 1).contiguous().numpy()
    return Task(experiment, images, labels, device, folder)
