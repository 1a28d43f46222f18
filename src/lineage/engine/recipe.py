"""A recipe: everything that decides how a network is trained, apart from the network and the data."""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _no_bool(value: object) -> object:
    """YAML's `yes` must not pass for the number 1."""
    if isinstance(value, bool):
        raise ValueError("should be a number")
    return value


Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_no_bool), Field(ge=0)]
Fraction = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, lt=1)]
Probability = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, le=1)]


class Recipe(BaseModel):
    """The hyper-parameters of a training run, complete and checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # the budget: one of the two
    epochs: Count | None = None
    iterations: Count | None = None
    seeds: Count = 1  # 3 means the seeds 0, 1 and 2
    batch_size: Count
    optimiser: Literal["sgd", "adam", "muon"] = "sgd"  # all have a momentum of 0.9
    lr: Annotated[Number, Field(gt=0)]  # the highest of the schedule
    nesterov: bool = True  # of SGD; Muon's own steps always have it
    # muon is for the kernels of convolutions, in networks with batch norm: each step is a fraction of the kernel's norm
    # (muon_step at lr, and it follows the schedule), and the norm stays. It is computed in bfloat16, whatever the
    # precision. Everything else has SGD with lr and weight_decay
    muon_step: Fraction = 0.0
    weight_decay: Number = 0.0
    decay: Literal["kernels", "all"] = "kernels"  # kernels and weight matrices; or biases and batch norm as well
    clip: Number = 0.0  # above 0, the largest norm of the gradient of all weights together
    trust: Number = 0.0  # above 0, the largest step of a kernel or weight matrix, as a fraction of its norm
    label_smoothing: Fraction = 0.0
    ema: Fraction = 0.0  # above 0, weights and batch norm's statistics are averaged with this decay per step
    # onecycle: linear up to lr during the warm-up, then linear down to 0
    # steps: a tenth of lr from 1/2 of all steps on, a hundredth from 3/4 on
    # constant: lr. Both begin with a tenth of it during the warm-up
    schedule: Literal["onecycle", "steps", "constant"]
    warm_up: Fraction = 0.0  # the share of all steps
    warm_up_steps: Whole = 0  # or their number, which does not depend on the length of the run
    # augmentation: shifts and the side of the square that is cut out (around a pixel: an even side is one less), in
    # pixels of the stored image, or of `input_size` where that is smaller; degrees; fractions
    shift: Whole = 0
    flip: bool = False
    rotate: Number = 0.0
    zoom: Fraction = 0.0
    cutout: Whole = 0
    cutmix: Probability = 0.0  # of a batch: a part of each image comes from another one (Yun et al. 2019)
    cutmix_off: Fraction = 0.0  # the share of all epochs, at the end, without it
    # standard: by the training split's channel means and standard deviations; symmetric: to -1 … 1; unit: to 0 … 1
    scaling: Literal["standard", "symmetric", "unit"] = "standard"
    input_size: Count  # pixels a side that the network sees
    grow: dict[Count, Fraction] = Field({})  # smaller sizes to begin with, and the share of the epochs of each
    keep: Literal["last", "best"] = "last"  # the weights of the last epoch, or of the one with the best validation
    # these change sums, and with them the last bits of a result
    precision: Literal["bf16", "fp32"] = "bf16"  # bf16 where the device has it in hardware, or else fp32
    threads: Count = 1  # of the CPU, for each seed
    layout: Literal["NHWC", "NCHW"] = "NHWC"  # in memory; on a CPU, NCHW is faster for wide layers of few pixels

    @model_validator(mode="after")
    def _one_budget(self) -> "Recipe":
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("give either epochs or iterations")
        if self.warm_up and self.warm_up_steps:
            raise ValueError("give either warm_up or warm_up_steps")
        return self

    @model_validator(mode="after")
    def _muon(self) -> "Recipe":
        if (self.optimiser == "muon") != (self.muon_step > 0):
            raise ValueError("give muon_step together with the optimiser muon, or neither")
        if self.muon_step and self.trust:
            raise ValueError("leave out trust: muon_step is already the step of a kernel, as a fraction of its norm")
        return self

    @model_validator(mode="after")
    def _grows(self) -> "Recipe":
        sizes = [*self.grow, self.input_size]
        if sizes != sorted(set(sizes)):
            raise ValueError("grow: the sizes rise up to input_size, which comes last by itself")
        if sum(self.grow.values()) >= 1:
            raise ValueError("grow: the shares add up to less than 1, the rest belongs to input_size")
        return self

    def steps(self, images: int) -> tuple[int, int]:
        """Steps in all and steps per epoch; the last, incomplete batch of an epoch is left out."""
        per_epoch = max(1, images // self.batch_size)
        return (self.iterations or self.epochs * per_epoch), per_epoch

    def epochs_of(self, images: int) -> int:
        """Epochs, the last of which may be a part of one."""
        steps, per_epoch = self.steps(images)
        return math.ceil(steps / per_epoch)

    def warm_up_of(self, steps: int) -> int:
        """The steps of the warm-up, of so many in all."""
        return self.warm_up_steps or round(self.warm_up * steps)

    def size_in(self, epoch: int, epochs: int) -> int:
        """The input size in pixels of one epoch (from 1) of `epochs`; the last one always has the full size."""
        share = 0.0
        for size, own in self.grow.items():
            share += own
            if epoch <= min(round(share * epochs), epochs - 1):
                return size
        return self.input_size

    def mixes_in(self, epoch: int, epochs: int) -> float:
        """The probability of CutMix in one epoch (from 1) of `epochs`."""
        return self.cutmix if epoch <= round((1 - self.cutmix_off) * epochs) else 0.0
