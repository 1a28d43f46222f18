"""The tables of what goes on inside one network, as trained and as its training began. `evaluate` writes them for the
first seed, because the weights will not outlive the machine:

- layers.csv, blocks.csv and lrn.csv: gradients, responses, what each residual block adds, and the spread of what local
  response normalisation divides by (lineage/anatomy.py), on 32 training images. untrained-layers.csv, …: the same of
  the network as its training began, because much of what one finds after training was there before it. Its batch norm
  has no statistics yet: responses and additions are measured with those of 64 training images, re-estimated.
- lesions.csv: the validation error without each block (lineage/lesions.py), on at most 1,000 images. Of the untrained
  network, which is there for comparison, at most nine blocks; what is kept are the statistics of the intact network,
  from the same 64 images as all that are re-estimated.
- batch-norm.csv: scores on at most 500 training and validation images with batch norm's statistics as training left
  them, and re-estimated from those training images: whether an error is the network's, or that of a running average
  that lags behind the weights.
- filters.png: the first layer, where its kernels are 7×7 or larger
"""

import copy
from pathlib import Path

import numpy as np
import torch

from lineage import anatomy, measures, pictures
from lineage.engine import training
from lineage.engine.augment import Images
from lineage.files import write_table
from lineage.lesions import blocks, lesions

PROBES = 32  # training images that layers and blocks are measured with
STATISTICS = 64  # training images that batch norm's statistics are re-estimated with, again and again
LESIONS, UNTRAINED_LESIONS = 1000, 9  # validation images; blocks of the untrained network
JUDGED = 500  # images that tell whether batch norm's statistics lag behind
LARGE = 7  # pixels: kernels that are worth looking at
PERCENTILES = {"min": 0, "p05": 5, "median": 50, "p95": 95, "max": 100}


def few(images: Images, most: int) -> Images:
    """At most so many of the images, evenly chosen."""
    result = copy.copy(images)
    if most < len(images):
        chosen = torch.from_numpy(evenly(len(images), most)).to(images.labels.device)
        result.pixels, result.labels = images.pixels[chosen], images.labels[chosen]
    return result


def evenly(count: int, most: int) -> np.ndarray:
    """At most so many of the positions from 0 to count - 1."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)


def write_inside(
    network: torch.nn.Module,
    begun: torch.nn.Module,
    images: dict[str, Images],
    precision: str,
    folder: Path,
    most: int | None = None,
) -> None:
    """Write all tables of the trained `network`, and of `begun`, the same before its training. Their batch norms stay
    as they are. At `most` so many blocks are removed, all of the trained network where it is None.
    """
    estimation = anatomy.batches(few(images["train"], STATISTICS))
    begun = anatomy.re_estimated(begun, estimation)
    probes = few(images["train"], PROBES)
    write_anatomy(network, probes, folder, "")
    write_anatomy(begun, probes, folder, "untrained-")
    first = next(iter(anatomy.layers(network).values())).weight
    if first.ndim == 4 and first.shape[-1] >= LARGE:
        pictures.write_strip(folder / "filters.png", pictures.filters(first.detach().cpu().numpy()))
    if names := blocks(network):
        val, rows = few(images["val"], LESIONS), []
        most = most or len(names)
        for trained, one, count in (("yes", network, most), ("no", begun, min(most, UNTRAINED_LESIONS))):
            chosen = [names[i] for i in evenly(len(names), count)]
            found = lesions(one, val.plain(0, len(val)), val.labels, estimation, precision, chosen)
            rows += [{"block": row["block"], "trained": trained} | row for row in found]
        write_table(folder / "lesions.csv", rows)
    if anatomy.batch_norms(network):
        judges = {part: few(images[part], JUDGED) for part in ("train", "val")}
        states = {"kept": network, "re-estimated": anatomy.re_estimated(network, anatomy.batches(judges["train"]))}
        rows = [
            {"part": part, "statistics": statistics}
            | measures.scores(training.predict(one, judge, precision), judge.labels)
            for part, judge in judges.items()
            for statistics, one in states.items()
        ]
        write_table(folder / "batch-norm.csv", rows)


def write_anatomy(network: torch.nn.Module, probes: Images, folder: Path, prefix: str) -> None:
    """Write what is measured layer by layer and block by block; every table's name begins with `prefix`."""
    x = probes.plain(0, len(probes))
    norms, responses = anatomy.gradient_norms(network, x, probes.labels), anatomy.responses(network, x)
    rows = [
        {"layer": name, "gradient": gradient, "weight": weight, "response": responses[name]}
        for name, (gradient, weight) in norms.items()
    ]
    write_table(folder / f"{prefix}layers.csv", rows)
    if additions := anatomy.additions(network, x):
        rows = [{"block": name, "addition": value} for name, value in additions.items()]
        write_table(folder / f"{prefix}blocks.csv", rows)
    if divisors := anatomy.divisors(network, x):
        rows = []
        for name, values in divisors.items():
            spread = np.percentile(values.cpu().numpy(), list(PERCENTILES.values())).tolist()
            rows.append({"layer": name} | dict(zip(PERCENTILES, spread, strict=True)))
        write_table(folder / f"{prefix}lrn.csv", rows)
