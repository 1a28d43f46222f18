"""Describe an experiment's network layer by layer (output shapes, kernel sizes, parameters), its multiply-adds, and how
long it takes to train.

    python src/describe.py resnet34-signs

For people; not a stage. Reads recipes/experiments/<experiment>.json and, for the time, how many images
metrics/data/<data set>.json counts; needs neither data nor weights, and takes seconds.
"""

from lineage.errors import Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse

import torch
import torchinfo

from lineage import effort, models
from lineage.engine.experiment import read_experiment
from lineage.files import check_name, recipes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="a key of `experiments` in experiments.yaml")
    name = parser.parse_args().experiment
    recipes()  # else the folder is another one, and the name no mistake
    check_name(name)
    experiment = read_experiment(name)
    size = experiment.recipe.input_size
    torch.manual_seed(0)
    source = f"src/lineage/models/{experiment.model}.py"
    try:
        network = experiment.build()
    except AttributeError as error:
        if error.name != "build":
            raise
        raise Mistake(f"{source} needs a function `build`: docs/extending.md has an example") from None
    columns = ("output_size", "kernel_size", "num_params")
    try:
        table = torchinfo.summary(network, (1, 3, size, size), col_names=columns, depth=9, verbose=0)
    except RuntimeError as error:  # torchinfo's own; its cause is what is wrong
        reason = " ".join(str(error.__cause__ or error).split())
        raise Mistake(f"{source}: images of {size}×{size} pixels do not pass through its layers: {reason}") from None
    outputs = table.summary_list[0].output_size
    if outputs != [1, experiment.classes]:
        shape = "×".join(["N", *map(str, outputs[1:])])
        raise Mistake(f"{source}: the outputs should be N×{experiment.classes}, as there are classes, not {shape}")
    print(table)
    time = effort.how_long(experiment) or f"a time that is known after `dvc repro preprocess@{experiment.dataset}`"
    print(f"training all seeds takes {time}")
    print("{parameters:,} parameters, {multiply_adds:,} multiply-adds per image".format(**models.size(network, size)))


if __name__ == "__main__":
    run(main)
