"""gradients: how large the loss gradient is in each layer before any training.

    python src/gradients.py

Builds plain and residual networks of 56 and 110 layers with three initialisations, with and without batch norm, and
measures one batch of SIGNS at 32×32 pixels in each; writes plots/gradients.csv: the norm of the gradient in each
layer's weights, for three seeds. Expect half a minute on two CPU cores.
"""

from lineage.errors import run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
from itertools import product
from pathlib import Path

import torch

from lineage import anatomy, models
from lineage.engine import augment, device, tensors
from lineage.files import write_table
from lineage.options.resnet import Options

FAMILIES = {"plain": "none", "resnet": "identity"}
DEPTHS = (56, 110)
SEEDS = 3
IMAGES, SIZE, CLASSES = 32, 32, 6  # of SIGNS


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    place = device.choose()
    device.prepare(place, threads=2)
    part = tensors.load("signs", "train", IMAGES)
    arrays = [torch.from_numpy(part[key]) for key in ("images", "labels", "mean", "std")]
    images = augment.Images(*arrays, SIZE, place)
    x = images.plain(0, IMAGES)
    rows = []
    for (family, shortcut), depth in product(FAMILIES.items(), DEPTHS):
        options = Options(depth=depth, shortcut=shortcut)
        network = models.build("resnet", CLASSES, SIZE, options)
        for initialisation, batch_norm, seed in product(anatomy.INITIALISATIONS, (True, False), range(SEEDS)):
            torch.manual_seed(seed)
            begun = anatomy.initialised(network, initialisation, batch_norm)
            begun = begun.to(place, memory_format=torch.channels_last)
            about = {"family": family, "depth": depth, "initialisation": initialisation}
            about |= {"batch_norm": "yes" if batch_norm else "no", "seed": seed}
            norms = anatomy.gradients(begun, x, images.labels).values()
            rows += [about | {"layer": layer, "gradient": gradient} for layer, (gradient, _) in enumerate(norms, 1)]
    write_table(Path("plots/gradients.csv"), rows)
    print(f"gradients of {len(rows)} layers in plots/gradients.csv, on {place}")


if __name__ == "__main__":
    run(main)
