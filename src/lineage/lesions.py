"""Lesions (Veit, Wilber & Belongie 2016, "Residual networks behave like ensembles of relatively shallow networks"): one
block is removed from a network, and the rest is evaluated without it, and without further training.

A residual block keeps its shortcut alone. A block of a plain network becomes the identity, where its input and output
have the same shape. The layers behind it then get inputs with other statistics. How much of the damage is due to that
alone is seen by measuring twice: with batch norm's statistics as they are (kept), and re-estimated for the network
without the block.
"""

import copy

import torch
from torch import Tensor, nn

from lineage.anatomy import batch_norms, estimating, re_estimated
from lineage.engine.device import autocast


class Nothing(nn.Module):
    """What stands for a residual function that has been removed: a zero, whatever the shape."""

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(())


def blocks(network: nn.Module) -> list[str]:
    """The names of the blocks, in the network's order; they have a main path, `main`, and a `shortcut`, or None."""
    return [
        name
        for name, module in network.named_modules()
        if isinstance(getattr(module, "main", None), nn.Module) and hasattr(module, "shortcut")
    ]


@torch.no_grad()
def lesions(
    network: nn.Module, images: Tensor, labels: Tensor, training: list[Tensor], precision: str, chosen: list[str]
) -> list[dict[str, object]]:
    """A row for the intact network, and one for each of the `chosen` blocks that can be removed, with batch norm's
    statistics kept, and re-estimated on the batches of training images: `block`, `statistics`, `val_error` on the
    images (N×3×S×S), and `correlation` of the logits with those of the intact network, from image to image. That tells
    something of an untrained network, too, whose error is that of chance in any case.

    What comes before a block does not notice its removal: it is computed once, and handed on from block to block.
    """
    with autocast(labels.device, precision):
        intact = {"kept": network.eval()(images)}  # logits
        if batch_norms(network):
            intact["re-estimated"] = re_estimated(network, training)(images)
        rows = [_row("intact", statistics, logits, logits, labels) for statistics, logits in intact.items()]
        # `rest` is the network from the next block on; `learning` passes training images on as training would
        rest, learning = copy.deepcopy(network), estimating(network)
        stem, learning_stem = (getattr(of, "stem", nn.Identity()) for of in (network, learning))
        rest.stem = nn.Identity()
        training = [learning_stem(x) for x in training]
        entering = {"kept": stem(images), "re-estimated": learning_stem.eval()(images)}
        for name in blocks(network):
            leaving = network.get_submodule(name)(entering["kept"])
            block = rest.get_submodule(name)
            if name in chosen and (block.shortcut is not None or leaving.shape == entering["kept"].shape):
                block.main = nn.Identity() if block.shortcut is None else Nothing()
                for statistics, before in intact.items():
                    injured = rest if statistics == "kept" else re_estimated(rest, training)
                    rows.append(_row(name, statistics, injured(entering[statistics]), before, labels))
            block = learning.get_submodule(name)
            training = [block(x) for x in training]
            entering = {"kept": leaving, "re-estimated": block.eval()(entering["re-estimated"])}
            rest.set_submodule(name, nn.Identity())
    return rows


def _row(name: str, statistics: str, logits: Tensor, intact: Tensor, labels: Tensor) -> dict[str, object]:
    error = (logits.argmax(1) != labels).double().mean().item()
    # every class's mean over the images is taken off: it would hide what differs from image to image
    a, b = ((z.double() - z.double().mean(0)).flatten() for z in (logits, intact))
    correlation = (a @ b / (a.norm() * b.norm())).item()
    return {"block": name, "statistics": statistics, "val_error": error, "correlation": correlation}
