"""usual: the training loop of articles and well-known repositories, as fair as it can be: a torchvision data set, PIL
transforms, float32, `.item()` in every step. For `throughput`, which measures it beside ours.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision import datasets, transforms

from lineage.engine.recipe import Recipe


class InMemory(Dataset):
    """As torchvision.datasets.CIFAR10: an array, each item of which becomes a PIL image."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: transforms.Compose, _: Path) -> None:
        """N×S×S×3 images, uint8, and N labels."""
        self.data, self.targets, self.transform = images, labels.tolist(), transform

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.data[index])), self.targets[index]

    def __len__(self) -> int:
        return len(self.data)


def on_disk(images: np.ndarray, labels: np.ndarray, transform: transforms.Compose, folder: Path) -> Dataset:
    """`<class>/<number>.jpg`, in pixels and bytes about the average photograph of the archive (404×360, 31 kB): the
    sample enlarged, with grain. Few enough to stay in the disk's cache, which is to the usual loop's advantage.
    """
    random = np.random.default_rng(0)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / str(label) / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            large = np.asarray(Image.fromarray(image).resize((404, 360), Image.Resampling.BICUBIC))
            grainy = (large + random.normal(0, 6, (360, 404, 1))).clip(0, 255).astype(np.uint8)
            Image.fromarray(grainy).save(path, quality=85)
    return datasets.ImageFolder(str(folder), transform)


SETS = {"cats-vs-dogs": on_disk}  # the others are arrays in memory


def augmentation(
    recipe: Recipe, size: int, scaling: tuple[Tensor, Tensor], from_disk: bool = False
) -> transforms.Compose:
    """What articles write for such an augmentation of images of `size` pixels, with torchvision's defaults: a black
    border, and rotation to the nearest pixel, both less work than ours. Cutout and CutMix are left out. `scaling` is
    the mean and the standard deviation of each channel.
    """
    steps = []
    if from_disk:
        larger = round(recipe.input_size * 256 / 224)
        steps = [transforms.Resize((larger, larger)), transforms.RandomCrop(recipe.input_size)]
    elif recipe.rotate or recipe.zoom:
        shift, zoom = recipe.shift / size, recipe.zoom
        steps = [transforms.RandomAffine(recipe.rotate, translate=(shift, shift), scale=(1 - zoom, 1 + zoom))]
    elif recipe.shift:
        steps = [transforms.RandomCrop(size, padding=recipe.shift)]
    if recipe.flip:
        steps.append(transforms.RandomHorizontalFlip())
    if size < recipe.input_size and not from_disk:
        steps.append(transforms.Resize((recipe.input_size, recipe.input_size)))
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(*map(Tensor.tolist, scaling))])


class Shuffled(Sampler):
    """What `shuffle=True` does, for an epoch of any length: it goes round the images."""

    def __init__(self, images: int) -> None:
        self.images, self.length = images, 0

    def __iter__(self) -> Iterator[int]:
        return (i % self.images for i in torch.randperm(self.length).tolist())

    def __len__(self) -> int:
        return self.length


OPTIMISERS = {
    "sgd": lambda weights, r: torch.optim.SGD(weights, r.lr, momentum=0.9, weight_decay=r.weight_decay),
    "adam": lambda weights, r: torch.optim.Adam(weights, r.lr, weight_decay=r.weight_decay),
}


def epoch(
    network: nn.Module, loader: DataLoader, optimiser: torch.optim.Optimizer, device: torch.device
) -> tuple[float, float]:
    """One epoch. Returns the average loss and the accuracy."""
    criterion = nn.CrossEntropyLoss()
    network.train()
    running_loss, correct, total = 0.0, 0, 0
    for inputs, targets in loader:
        inputs, targets = inputs.to(device, non_blocking=True), targets.to(device, non_blocking=True)
        optimiser.zero_grad()
        outputs = network(inputs)
        loss = criterion(outputs, targets)
        loss.backward()
        optimiser.step()
        running_loss += loss.item()
        correct += (outputs.argmax(1) == targets).sum().item()
        total += len(targets)
    return running_loss / len(loader), correct / total
