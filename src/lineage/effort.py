"""How long a training takes, roughly: for those who ask before they start it. No result depends on it.

On two CPU cores of an AMD EPYC with bfloat16 in hardware, the networks of the first two tables of docs/speed.md train
at 35 to 125 billion multiply-adds of the forward pass per second, in float32 on the Xeon of its last table at 29 to 45
billion. Small networks are limited by what is done for each image, whatever its network.
"""

import math
from pathlib import Path

import torch

from lineage import models
from lineage.engine.experiment import Experiment
from lineage.files import read_json

# of the forward pass, per second of training: the slowest of these
MULTIPLY_ADDS = {"bf16": 35e9, "fp32": 29e9}
IMAGES = 20_000  # per second, of a network that costs nothing


def seconds_an_image(experiment: Experiment) -> float:
    """Of training with one image once, on two CPU cores; of inputs that grow, on average."""
    recipe = experiment.recipe
    with torch.device("meta"):  # shapes alone
        network = experiment.build()
    shares = recipe.grow | {recipe.input_size: 1 - sum(recipe.grow.values())}
    work = sum(share * models.size(network, size)["multiply_adds"] for size, share in shares.items())
    return work / MULTIPLY_ADDS[recipe.precision] + 1 / IMAGES


def how_long(experiment: Experiment) -> str:
    """In words, of all seeds, on two cores; empty where the number of training images is not known yet."""
    counted = Path("metrics/data", f"{experiment.dataset}.json")
    if not counted.is_file():
        return ""
    images = min(read_json(counted)["train_images"], experiment.max_images or 10**12)
    recipe = experiment.recipe
    at_once = max(1, 2 // recipe.threads)
    seeds = math.ceil(recipe.seeds / at_once) * at_once  # the last one leaves a core idle
    passes = recipe.steps(images)[0] * min(recipe.batch_size, images) * seeds
    minutes = passes * seconds_an_image(experiment) / 60
    said = f"{math.ceil(minutes)} minutes" if minutes < 90 else f"{math.ceil(minutes / 60)} hours"
    said = said if minutes > 1 else "a minute"
    cores = "two CPU cores with bfloat16 in hardware" if recipe.precision == "bf16" else "two CPU cores with AVX-512"
    return f"up to {said} on {cores}, estimated"
