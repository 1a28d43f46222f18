"""gradients: how large the loss gradient is in each layer before any training.

    python src/gradients.py

Builds plain and residual networks of 56 and 110 layers with three initialisations, with and without batch norm, and
measures one batch of SIGNS at 32×32 pixels in each; writes plots/gradients.csv: the norm of the gradient in each
layer's weights, for three seeds. Expect a minute.
"""

from lineage.errors import run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import copy
from itertools import product
from pathlib import Path

import torch
from torch import nn

from lineage import anatomy, models
from lineage.engine import augment, device, tensors
from lineage.files import write_table
from lineage.options.resnet import Options

FAMILIES = {"plain": "none", "resnet": "identity"}
DEPTHS = (56, 110)
SEEDS = 3
IMAGES, SIZE, CLASSES = 32, 32, 6  # of SIGNS
# how the weights begin, by the name in the table; biases with 0
BEGINNINGS = {
    "he": models.he,
    "framework": lambda weight: nn.init.kaiming_uniform_(weight, a=5**0.5),  # what torch's layers begin with
    "normal-0.01": lambda weight: nn.init.normal_(weight, std=0.01),  # Krizhevsky et al. 2012, section 5
}


@torch.no_grad()
def begun_anew(network: nn.Module, beginning: str, batch_norm: bool) -> nn.Module:
    """A copy of the network with weights drawn anew, as `beginning` says, from torch's global generator; its batch
    norms are reset, or left out.
    """
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            BEGINNINGS[beginning](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    if not batch_norm:
        for parent in list(network.modules()):
            for name, module in parent.named_children():
                if isinstance(module, nn.BatchNorm2d):
                    setattr(parent, name, nn.Identity())
    return network


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    place = device.choose()
    device.prepare(place, threads=1)  # two beside another busy process take ten times as long
    part = tensors.load("signs", "train", IMAGES)
    arrays = [torch.from_numpy(part[key]) for key in ("images", "labels", "mean", "std")]
    images = augment.Images(*arrays, SIZE, place)
    x = images.plain(0, IMAGES)
    rows = []
    for (family, shortcut), depth in product(FAMILIES.items(), DEPTHS):
        options = Options(depth=depth, shortcut=shortcut)
        network = models.build("resnet", CLASSES, SIZE, options)
        for beginning, batch_norm, seed in product(BEGINNINGS, (True, False), range(SEEDS)):
            torch.manual_seed(seed)
            begun = begun_anew(network, beginning, batch_norm)
            begun = begun.to(place, memory_format=torch.channels_last)
            about = {"family": family, "depth": depth, "initialisation": beginning}
            about |= {"batch_norm": "yes" if batch_norm else "no", "seed": seed}
            norms = anatomy.gradient_norms(begun, x, images.labels).values()
            rows += [about | {"layer": layer, "gradient": gradient} for layer, (gradient, _) in enumerate(norms, 1)]
    write_table(Path("plots/gradients.csv"), rows)
    print(f"gradients of {len(rows)} layers in plots/gradients.csv, on {place}")


if __name__ == "__main__":
    run(main)
