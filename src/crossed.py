"""crossed: is it the function that a deep plain network begins with that fails, or the norms of its first gradients?

    python src/crossed.py

Trains on SIGNS what recipes/crossed.json names (the block `crossed` in params.yaml): one plain network, by one recipe,
from each of several initialisations, each with the gradient norms of each of them. Every gradient is multiplied by a
factor that never changes, so that before the first step, on 64 images, it has the wanted norm
(lineage/crossed_lengths.py). Reads the training and validation splits, never the test split. Writes
plots/tables/crossed.csv, a line per run:

- start, lengths: the initialisation, and the one whose gradient norms the first step has; depth, lr, seed
- least_factor, largest_factor: of the gradients
- train_loss, train_error, val_loss, val_error at the end, on images without augmentation
- trained: whether the training error is below 80 % of that at chance level

At full scale expect an hour on two cores, and up to 6 GB a run; it goes on where it was killed, as `sweep` does.
"""

from lineage.errors import run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
from functools import partial
from pathlib import Path

import torch

from lineage import row_measures, runs
from lineage.crossed_lengths import Crossed
from lineage.engine import checkpoint, device
from lineage.files import claimed, write_table

RECIPES, RUNS, TABLE = Path("recipes/crossed.json"), Path("runs/crossed"), Path("plots/tables/crossed.csv")


def read() -> list[Crossed]:
    """The experiments. Raises `Mistake`."""
    return runs.read_recipes(RECIPES, lambda content: [Crossed.model_validate(one) for one in content.values()])


def measure(place: torch.device, one: runs.Run) -> runs.Row:
    """A run's line, from its trained weights."""
    network, about = runs.trained(one, place)
    row = one.about | {"least_factor": min(network.factors), "largest_factor": max(network.factors)}
    row |= row_measures.scores(network, one.experiment, place)
    return row | {"diverged": "yes" if about["diverged"] else "no", "scale": one.experiment.scale}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    experiments, place = read(), device.choose()
    known = runs.code_and_data("crossed")

    def one_run(one: Crossed, seed: int) -> runs.Run:
        about = {"start": one.start, "lengths": one.lengths, "depth": one.network.depth, "lr": one.recipe.lr}
        return runs.Run(one, seed, RUNS / one.name, runs.key(one, place, known), about | {"seed": seed})

    with claimed(RUNS):
        checkpoint.forget_recorded(RUNS)
        # seed by seed, so that each network has some should the stage be stopped for good
        most = max(one.recipe.seeds for one in experiments)
        many = [one_run(one, seed) for seed in range(most) for one in experiments if seed < one.recipe.seeds]
        rows = runs.carry_out("crossed", many, partial(measure, place), place)
        order = [(one.start, one.lengths) for one in experiments]
        rows.sort(key=lambda row: (order.index((row["start"], row["lengths"])), row["seed"]))
        write_table(TABLE, rows)
        checkpoint.note_complete(RUNS, [one.row.relative_to(RUNS).as_posix() for one in many], TABLE)
    print(f"{sum(row['trained'] == 'yes' for row in rows)} of {len(rows)} runs trained; all in {TABLE}")


if __name__ == "__main__":
    run(main)
