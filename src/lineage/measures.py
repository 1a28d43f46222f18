"""What is measured of a network and of its logits."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

TOP5_FROM = 10  # classes: with fewer, top-5 says little


def scores(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Top-1 and, from ten classes up, top-5 accuracy as fractions, and the mean cross-entropy, of N×classes logits."""
    ranked = logits.topk(min(5, logits.shape[1]), 1).indices == labels[:, None]
    result = {"top1": ranked[:, 0].double().mean().item()}
    if logits.shape[1] >= TOP5_FROM:
        result["top5"] = ranked.any(1).double().mean().item()
    return result | {"loss": F.cross_entropy(logits.double(), labels).item()}


def predictions(logits: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The predicted class (N) and the probability that the network gives it (N)."""
    confidence, predicted = torch.softmax(logits.double(), 1).max(1)
    return predicted.cpu().numpy(), confidence.cpu().numpy()


def confusion(actual: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, classes×classes: rows are what is there, columns what the network says."""
    return np.bincount(actual * classes + predicted, minlength=classes**2).reshape(classes, classes)


def parameters(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def multiply_adds(network: nn.Module, input_size: int) -> int:
    """Multiply-adds of the convolutions and linear layers for one image, as torch counts them."""
    network.eval()
    example = next(network.parameters()).new_zeros(1, 3, input_size, input_size)
    with FlopCounterMode(display=False) as counter:
        network(example)
    return counter.get_total_flops() // 2
