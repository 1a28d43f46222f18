"""What the rows of the stages that train many networks say of each: how large its first step is, and how good it is at
the end.
"""

import math
from typing import Any

import torch
from torch.nn import functional as F

from lineage import anatomy
from lineage.engine import augment, tensors, training
from lineage.engine.experiment import Experiment
from lineage.engine.optimisation import MOMENTUM, learning_rate
from lineage.started import most_mistakes

PROBES = 64  # training images that the first gradient is measured with, as in src/evaluate.py


def first_step(network: torch.nn.Module, experiment: Experiment, place: torch.device) -> dict[str, Any]:
    """How large the first step of a network's training is, in the layer with the largest ‖gradient‖ / ‖W‖ on 64
    training images without augmentation, in float32: that quotient, the learning rate of the first step, and how far
    the step moves the layer, as a fraction of ‖W‖; not a number for Adam and Muon, whose steps have other norms. SGD's
    momentum is the gradient itself in the first step, and Nesterov's form adds 0.9 times it to the gradient. Neither
    weight decay nor a limit of the step (`trust`) is considered.
    """
    recipe = experiment.recipe
    few = experiment.model_copy(update={"max_images": min(PROBES, experiment.max_images or PROBES)})
    steps, per_epoch = recipe.steps(tensors.length(experiment.dataset, "train", experiment.max_images))
    probes = augment.load(few, ("train",), place)["train"]
    probes.input_size = recipe.size_in(1, math.ceil(steps / per_epoch))
    layer, ratio = anatomy.steepest(network, probes.plain(0, len(probes)), probes.labels)
    lr = learning_rate(recipe, 0, steps)
    step = lr * (1 + MOMENTUM * recipe.nesterov) * ratio if recipe.optimiser == "sgd" else math.nan
    return {"layer": layer, "gradient_ratio": ratio, "first_lr": lr, "first_step": step}


def scores(network: torch.nn.Module, experiment: Experiment, place: torch.device) -> dict[str, Any]:
    """Loss and error on the training and on the validation images without augmentation, and whether it has started to
    train.
    """
    row: dict[str, Any] = {}
    for part, images in augment.load(experiment, ("train", "val"), place).items():
        logits = training.predict(network, images, experiment.recipe.precision)
        row[f"{part}_loss"] = F.cross_entropy(logits.double(), images.labels).item()
        row[f"{part}_error"] = (logits.argmax(1) != images.labels).double().mean().item()
    return row | {"trained": "yes" if row["train_error"] <= most_mistakes(experiment.classes) else "no"}
