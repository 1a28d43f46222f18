"""A recipe: everything that decides how a network is trained, apart from the network and the data."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lineage.errors import Mistake
from lineage.files import read_json


def _no_bool(value: object) -> object:
    """YAML's `yes` must not pass for the number 1."""
    if isinstance(value, bool):
        raise ValueError("should be a number")
    return value


Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, lt=1)]


class Recipe(BaseModel):
    """The hyper-parameters of a training run, complete and checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # the budget: one of the two
    epochs: Count | None = None
    iterations: Count | None = None
    seeds: Count = 1  # 3 means the seeds 0, 1 and 2
    batch_size: Count
    optimiser: Literal["sgd", "adam"] = "sgd"
    lr: Annotated[Number, Field(gt=0)]  # the highest of the schedule
    momentum: Fraction = 0.9  # Adam's first beta; its second is 0.999
    nesterov: bool = True  # of SGD alone
    weight_decay: Number = 0.0
    decay: Literal["kernels", "all"] = "kernels"  # kernels and weight matrices; or biases and batch norm as well
    label_smoothing: Fraction = 0.0
    ema: Fraction = 0.0  # above 0, weights and batch norm's statistics are averaged with this decay per step
    # onecycle: linear up to lr over the first `warm_up` of all steps, then linear down to 0
    # steps: a tenth of lr from 1/2 of all steps on, a hundredth from 3/4 on
    # constant: lr. Both begin with a tenth of it for the first `warm_up` of all steps
    schedule: Literal["onecycle", "steps", "constant"]
    warm_up: Fraction = 0.0
    # augmentation: shifts and the side of the square that is cut out, in pixels of the stored image, or of
    # `input_size` where that is smaller; degrees; fractions
    shift: Annotated[int, BeforeValidator(_no_bool), Field(ge=0)] = 0
    flip: bool = False
    rotate: Number = 0.0
    zoom: Fraction = 0.0
    cutout: Annotated[int, BeforeValidator(_no_bool), Field(ge=0)] = 0
    # standard: by the training part's channel means and deviations; symmetric: to -1 … 1; unit: to 0 … 1
    scaling: Literal["standard", "symmetric", "unit"] = "standard"
    input_size: Count  # pixels a side that the network sees
    keep: Literal["last", "best"] = "last"  # the weights of the last epoch, or of the one with the best validation
    # these change sums, and with them the last bits of a result
    precision: Literal["bf16", "fp32"] = "bf16"
    threads: Count = 1
    layout: Literal["NHWC", "NCHW"] = "NHWC"  # in memory; on a CPU, NCHW is faster for wide layers of few pixels

    @model_validator(mode="after")
    def _one_budget(self) -> "Recipe":
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("give either epochs or iterations")
        return self

    def steps(self, images: int) -> tuple[int, int]:
        """Steps in all and steps per epoch; the last, incomplete batch of an epoch is left out."""
        per_epoch = max(1, images // self.batch_size)
        return (self.iterations or self.epochs * per_epoch), per_epoch

    def epochs_of(self, images: int) -> int:
        """Epochs, the last of which may be a part of one."""
        steps, per_epoch = self.steps(images)
        return -(-steps // per_epoch)


def read_experiment(name: str) -> dict[str, object]:
    """One experiment as the stage `recipes` resolved it. Raises `Mistake`."""
    path = Path("recipes/experiments", f"{name}.json")
    if not path.is_file():
        raise Mistake(f"{path} is missing: no such experiment, or `dvc repro recipes` has not run")
    return read_json(path)


def fingerprint(experiment: dict[str, object]) -> str:
    """Twelve hexadecimal digits that differ wherever two effective recipes do: results carry them."""
    return hashlib.sha256(json.dumps(experiment, sort_keys=True).encode()).hexdigest()[:12]
