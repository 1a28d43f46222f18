"""What is measured of a network's answers."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

TOP5_FROM = 10  # classes: with fewer, top-5 says little


def scores(logits: Tensor, labels: Tensor, groups: Tensor | None = None) -> dict[str, float]:
    """Of N×classes logits: top-1 and, from ten classes up, top-5 accuracy as fractions, the mean cross-entropy, and,
    where `groups` gives each class its superclass (classes), how often the superclass is right.
    """
    ranked = logits.topk(min(5, logits.shape[1]), 1).indices
    right = ranked == labels[:, None]
    result = {"top1": right[:, 0].double().mean().item()}
    if logits.shape[1] >= TOP5_FROM:
        result["top5"] = right.any(1).double().mean().item()
    if groups is not None:
        result["superclass"] = (groups[ranked[:, 0]] == groups[labels]).double().mean().item()
    return result | {"loss": F.cross_entropy(logits.double(), labels).item()}


def averaged(logits: Tensor, mirrored: Tensor, labels: Tensor) -> float:
    """Top-1 accuracy of the mean of two predictions, for the images and for their mirror images."""
    both = torch.softmax(logits.double(), 1) + torch.softmax(mirrored.double(), 1)
    return (both.argmax(1) == labels).double().mean().item()


def ensemble(probabilities: Tensor, labels: Tensor, groups: Tensor | None = None) -> dict[str, float]:
    """`scores` of several networks that answer together: of the mean of their probabilities (N×classes)."""
    return scores(probabilities.clamp(min=1e-300).log(), labels, groups)


def predictions(logits: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The predicted class (N) and the probability that the network gives it (N)."""
    confidence, predicted = torch.softmax(logits.double(), 1).max(1)
    return predicted.cpu().numpy(), confidence.cpu().numpy()


def answers(logits: Tensor, seed: int) -> dict[str, list[int]]:
    """Two columns of whole numbers: the predicted class of each image (N), and its probability in per mille."""
    predicted, confidence = predictions(logits)
    per_mille = (1000 * confidence).round().astype(int)
    return {f"predicted_{seed}": predicted.tolist(), f"confidence_{seed}": per_mille.tolist()}


def confusion(actual: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, classes×classes: rows are what is there, columns what the network says."""
    return np.bincount(actual * classes + predicted, minlength=classes**2).reshape(classes, classes)
