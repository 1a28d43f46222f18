"""What is measured of a network's answers."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

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
