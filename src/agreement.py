"""agreement: whether different batches of images pull the weights of an untrained network the same way.

    python src/agreement.py

Builds plain networks of several depths with He's and with the Dirac initialisation, the deepest also without batch norm
and with the initialisations of src/initialisations.py, and residual ones; shows each the same training images of SIGNS
in batches, as in training but without augmentation, and takes no step. Writes plots/tables/agreement.csv, a line per
network and seed:

- agreement: of two batches, the cosine of the angle between their loss gradients in the weights of a convolution; the
  mean over all pairs of batches, and of that the median over the convolutions (compare Sankararaman et al. 2020, "The
  impact of neural network overparameterization on gradient confusion")
- shuffled_agreement: the same with the labels shuffled among the images: what does not depend on which class is where
- neighbour_error: how often the nearest other image, by what the network hands to its last layer, is of another class.
  The last line has that of the pixels themselves
- layer, gradient_ratio: the layer with the largest ‖gradient‖ / ‖W‖ in the first batch, and that quotient

In float32, on one thread. At full scale expect ten minutes.
"""

from lineage.errors import Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import statistics
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lineage import anatomy, initialisations, models
from lineage.engine import augment, device, tensors
from lineage.engine.experiment import Experiment
from lineage.files import read_json, write_table
from lineage.options.resnet import Options

RECIPES, TABLE = Path("recipes/initialisations.json"), Path("plots/tables/agreement.csv")
PLAIN, RESIDUAL = (20, 32, 44, 56, 80, 110), (20, 56, 110)  # depths, as far as that of src/initialisations.py
BATCHES, BATCH = 8, 64
PIXELS = "pixels"  # in the place of a family
Network = dict[str, str | int]  # family, depth, normalisation, initialisation: as in the table


def networks(deepest: int, names: list[str]) -> Iterator[Network]:
    """What is measured, in the order of the table."""
    plain, usual = {"family": "plain"}, {"normalisation": "batch"}
    for initialisation, depth in product(("he", "dirac"), [depth for depth in PLAIN if depth <= deepest]):
        yield plain | {"depth": depth} | usual | {"initialisation": initialisation}
    yield plain | {"depth": deepest, "normalisation": "none", "initialisation": "he"}
    for name in names:
        yield plain | {"depth": deepest} | usual | {"initialisation": name}
    for depth in [depth for depth in RESIDUAL if depth <= deepest]:
        yield {"family": "resnet", "depth": depth} | usual | {"initialisation": "he"}


def build(about: Network, classes: int, size: int, seed: int) -> nn.Module:
    """A network as its training would begin."""
    known = about["initialisation"] in models.INITIALISATIONS
    options = Options(
        depth=about["depth"],
        shortcut="none" if about["family"] == "plain" else "identity",
        normalisation=about["normalisation"],
        initialisation=about["initialisation"] if known else "he",
    )
    torch.manual_seed(seed)
    network = models.build("resnet", classes, size, options)
    if not known:
        initialisations.initialise(network, about["initialisation"])
    return network.to(memory_format=torch.channels_last)


def measure(network: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> dict[str, float | str]:
    """What the table says of a network, from batches of images and their labels."""
    seen: list[Tensor] = []  # what comes to the last layer, B × channels
    hook = network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    agreement = median_agreement(network, batches)
    hook.remove()
    labels = torch.cat([y for _, y in batches])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    others = labels[order.to(labels.device)].split([len(y) for _, y in batches])
    layer, ratio = anatomy.steepest(network, *batches[0])
    return {
        "agreement": agreement,
        "shuffled_agreement": median_agreement(network, [(x, y) for (x, _), y in zip(batches, others, strict=True)]),
        "neighbour_error": neighbour_error(torch.cat(seen), labels),
        "layer": layer,
        "gradient_ratio": ratio,
    }


def median_agreement(network: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    """The median over the convolutions of `mean_cosine` of the batches' gradients."""
    network.train()
    convolutions = {name: m for name, m in anatomy.layers(network).items() if isinstance(m, nn.Conv2d)}
    directions: dict[str, list[Tensor]] = {name: [] for name in convolutions}
    for x, y in batches:
        network.zero_grad()
        F.cross_entropy(network(x), y).backward()
        for name, layer in convolutions.items():
            gradient = layer.weight.grad.flatten().double()
            directions[name].append(gradient / gradient.norm().clamp(min=1e-300))
    return statistics.median(mean_cosine(torch.stack(rows)) for rows in directions.values())


def mean_cosine(directions: Tensor) -> float:
    """Of N directions of length 1 (N × weights), the mean cosine over all pairs."""
    count = len(directions)
    return ((directions.sum(0).square().sum() - directions.square().sum()) / (count * (count - 1))).item()


def neighbour_error(features: Tensor, labels: Tensor) -> float:
    """How often the nearest other row of the features (N × channels) has another label."""
    distances = torch.cdist(features.double(), features.double()).fill_diagonal_(torch.inf)
    return (labels[distances.argmin(1)] != labels).double().mean().item()


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if not RECIPES.is_file():
        raise Mistake(f"{RECIPES} is missing: run `dvc repro recipes` first")
    experiments = {name: Experiment.model_validate(one) for name, one in read_json(RECIPES).items()}
    one, place = next(iter(experiments.values())), device.choose()
    device.prepare(place, threads=1)
    part = tensors.load("signs", "train")
    images = augment.Images(*(torch.from_numpy(part[key]) for key in ("images", "labels", "mean", "std")), 32, place)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[: BATCHES * BATCH]
    x = images.plain(0, len(images))
    batches = [(x[few].contiguous(memory_format=images.layout), images.labels[few]) for few in order.chunk(BATCHES)]
    rows = []
    for about in networks(one.network.depth, list(experiments)):
        for seed in range(one.recipe.seeds):
            network = build(about, one.classes, 32, seed).to(place)
            rows.append(about | {"seed": seed} | measure(network, batches) | {"scale": one.scale})
    pixels, labels = torch.cat([x.flatten(1) for x, _ in batches]), torch.cat([y for _, y in batches])
    blank = dict.fromkeys(rows[0], "")
    rows.append(blank | {"family": PIXELS, "neighbour_error": neighbour_error(pixels, labels), "scale": one.scale})
    write_table(TABLE, rows)
    print(f"{len(rows) - 1} untrained networks in {TABLE}, on {place}")


if __name__ == "__main__":
    run(main)
