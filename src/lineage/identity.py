"""Layers that do nothing: a plain network made deeper without changing what it says (He et al. 2015, section 1)."""

import copy

import torch
from torch import Tensor, nn

from lineage import anatomy
from lineage.engine.augment import Images

CLOSE = 1e-5  # of the largest logit: two networks with float32 weights that differ by less say the same


@torch.no_grad()
def insert_identities(shallow: nn.Module, deep: nn.Module, images: Images | None) -> int:
    """Give `deep` the weights of `shallow`, both plain networks of `lineage/models/resnet.py`, and make identities of
    its further layers, which come last in each stage; returns their number. Both then have the same outputs in
    evaluation mode.

    The kernels are Dirac's: each channel passes through, and the ReLU behind finds nothing to cut off. Without `images`
    batch norm has the running mean 0 and variance 1, and a scale that undoes its eps. That is the identity in
    evaluation only: in training it normalises by the batch, so that the ReLU cuts off all below each channel's mean.
    With `images` it has the mean and variance of what comes in as `shallow` is trained, over these images, as its
    running statistics, and undoes them by its shift and scale: in training it then hands on its input as far as a batch
    has the statistics of all images.
    """
    deep.stem.load_state_dict(shallow.stem.state_dict())
    deep.head.load_state_dict(shallow.head.state_dict())
    inserted = 0
    for stage, (short, long) in enumerate(zip(shallow.stages, deep.stages, strict=True)):
        channels = long[-1].main[-1].num_features
        mean, variance = torch.zeros(channels), torch.ones(channels)
        if images is not None:
            mean, variance = statistics(shallow, stage, images)
        for i, block in enumerate(long):
            if i < len(short):
                block.load_state_dict(short[i].state_dict())
                continue
            for layer in block.main:
                if isinstance(layer, nn.Conv2d):
                    nn.init.dirac_(layer.weight)
                    inserted += 1
                elif isinstance(layer, nn.BatchNorm2d):
                    layer.running_mean.copy_(mean)
                    layer.running_var.copy_(variance)
                    layer.weight.copy_((variance.double() + layer.eps).sqrt())
                    layer.bias.copy_(mean)
    return inserted


@torch.no_grad()
def statistics(network: nn.Module, stage: int, images: Images) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel that leaves a stage of the network, over all images and places, where its batch
    norms take each batch's own statistics, as in training.
    """
    network, total, squares, count = anatomy.estimating(network), 0.0, 0.0, 0
    front = nn.Sequential(network.stem, *network.stages[: stage + 1])
    for batch in anatomy.batches(images):
        x = front(batch).double()  # B×C×H×W
        total, squares = total + x.sum((0, 2, 3)), squares + x.square().sum((0, 2, 3))
        count += x.numel() // x.shape[1]
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp(min=0).float()


@torch.no_grad()
def difference(one: nn.Module, other: nn.Module, x: Tensor) -> float:
    """How far apart the logits of two networks are in evaluation mode, in float64, as a fraction of the largest."""
    expected, given = (copy.deepcopy(network).double().eval()(x.double()) for network in (one, other))
    return ((given - expected).abs().max() / expected.abs().max()).item()
