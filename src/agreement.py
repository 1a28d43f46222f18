"""agreement: whether the loss gradients of different batches agree in direction before any training, and how exactly
bfloat16 and float32 compute them.

    python src/agreement.py

Builds plain networks of several depths with He's and with the Dirac initialisation, the deepest also without batch norm
and with the initialisations of src/initialisations.py, and residual ones; shows each the same training images of SIGNS
in batches, as in training but without augmentation, and takes no step. Writes plots/tables/agreement.csv, a line per
network and seed:

- agreement: of two batches, the cosine of the angle between their loss gradients in the weights of a convolution; the
  mean over all pairs of four batches, and of that the median over the convolutions (compare Sankararaman et al. 2020,
  "The impact of neural network overparameterization on gradient confusion and stochastic gradient descent"). In
  float64, because in float32 nothing is left of the gradients of the deepest plain networks
- shuffled_agreement: the same with the labels shuffled among the images: what does not depend on which class is where
- neighbour_error: how often the nearest other image, by what the network hands to its last layer, is of another class.
  The last line has that of the pixels themselves
- bf16_cosine, fp32_cosine: of the gradient of the first batch in the weights of a convolution, computed in bfloat16 (as
  in training) or in float32, and the same computed in float64, the cosine of the angle; the median over the
  convolutions. 1 where rounding does no harm, 0 where it leaves nothing. Without hardware for bfloat16 that is empty
- reordered_cosine: of the gradient of the first batch in the weights of a convolution, and of the same images in
  another order, both in float64, the cosine of the angle; the least of all convolutions. 1 where float64 is exact
  enough for the order not to matter
- layer, gradient_ratio: the layer with the largest ‖gradient‖ / ‖W‖ in the first batch, and that quotient

In float32 unless said otherwise, on one thread. At full scale expect half an hour and up to 7 GB.
"""

from lineage.errors import Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import copy
import math
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
SAMPLE_BATCH = 8  # images, at scale sample
PAIRED = 4  # batches whose gradients are compared: in float64 these take long
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
    exact = copy.deepcopy(network).double()
    paired = [(x.double(), y) for x, y in batches[:PAIRED]]
    labels = torch.cat([y for _, y in paired])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    others = labels[order.to(labels.device)].split([len(y) for _, y in paired])
    gradients = [directions(exact, x, y) for x, y in paired]
    shuffled = [directions(exact, x, y) for (x, _), y in zip(paired, others, strict=True)]
    found = {"agreement": median_agreement(gradients), "shuffled_agreement": median_agreement(shuffled)}
    found["neighbour_error"] = neighbour_error(features(network, batches), torch.cat([y for _, y in batches]))
    for precision in device.DTYPES:
        found[f"{precision}_cosine"] = exactness(gradients[0], network, *batches[0], precision)
    x, y = paired[0]
    found["reordered_cosine"] = cosines(gradients[0], directions(exact, x.flip(0), y.flip(0))).min().item()
    layer, ratio = anatomy.steepest(network, *batches[0])
    return found | {"layer": layer, "gradient_ratio": ratio}


def median_agreement(gradients: list[dict[str, Tensor]]) -> float:
    """The median over the convolutions of `mean_cosine` of the batches' gradients."""
    return statistics.median(mean_cosine(torch.stack([one[name] for one in gradients])) for name in gradients[0])


def exactness(exact: dict[str, Tensor], network: nn.Module, x: Tensor, y: Tensor, precision: str) -> float:
    """The median over the convolutions of the cosine between the gradient in this precision and the exact one; not a
    number where the device lacks that precision.
    """
    if device.precision_on(x.device, precision) != precision:
        return math.nan
    rounded = directions(network, x, y, precision)
    return statistics.median(cosines(exact, rounded).tolist())


def cosines(one: dict[str, Tensor], other: dict[str, Tensor]) -> Tensor:
    """Of each convolution, the cosine between two of its gradients."""
    return torch.stack([one[name] @ other[name] for name in one])


@torch.no_grad()
def features(network: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> Tensor:
    """What the network hands to its last layer, batch norm as in training: images × channels."""
    seen: list[Tensor] = []
    hook = network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.train()
    for x, _ in batches:
        network(x)
    hook.remove()
    return torch.cat(seen)


def directions(network: nn.Module, x: Tensor, y: Tensor, precision: str = "fp32") -> dict[str, Tensor]:
    """The gradient of the loss in the weights of each convolution, flat, in float64, with norm 1."""
    network.train().zero_grad()
    with device.autocast(x.device, precision):
        logits = network(x)
    F.cross_entropy(logits if logits.dtype == torch.float64 else logits.float(), y).backward()
    convolutions = {name: m for name, m in anatomy.layers(network).items() if isinstance(m, nn.Conv2d)}
    gradients = {name: layer.weight.grad.flatten().double() for name, layer in convolutions.items()}
    return {name: gradient / gradient.norm().clamp(min=1e-300) for name, gradient in gradients.items()}


def mean_cosine(directions: Tensor) -> float:
    """Of N directions of norm 1 (N × weights), the mean cosine over all pairs."""
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
    count = BATCHES * (SAMPLE_BATCH if one.scale == "sample" else BATCH)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count]
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
