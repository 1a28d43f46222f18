"""sweep: which plain networks train, by depth, learning rate and start, and how large their first step is.

    python src/sweep.py

Trains on SIGNS what recipes/sweep.json names (the block `sweep` in params.yaml), by one recipe. Reads the training and
validation splits, never the test split. First one seed of each network. Then the boundary gets all its seeds: the
networks of which a neighbour, one step away in depth or in learning rate and from the same start, has another answer to
whether it trained. Writes plots/tables/sweep.csv, a line per run:

- layer, gradient_ratio, first_lr, first_step: at initialisation, the layer with the largest ‖gradient‖ / ‖W‖, that
  quotient, the learning rate of the first step, and their product with Nesterov's factor of 1.9, which is how far SGD's
  step moves the layer as a fraction of ‖W‖ (before the limit of a start with `trust` cuts it; empty for Adam and Muon)
- train_loss, train_error, val_loss, val_error at the end, on images without augmentation
- trained: whether the training error is below 80 % of that at chance level

At full scale expect two hours on two cores; SEEDS_AT_ONCE=3 in front of the command sets how many runs there are at
once. Each run leaves its line in runs/sweep/, and a checkpoint every half a minute (CHECKPOINT_SECONDS): the same
command goes on where it was killed, and ends with the same bytes.
"""

from lineage.errors import run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch

from lineage import row_measures, runs
from lineage.engine import checkpoint, device
from lineage.engine.experiment import Experiment
from lineage.files import claimed, write_table

RECIPES, RUNS, TABLE = Path("recipes/sweep.json"), Path("runs/sweep"), Path("plots/tables/sweep.csv")
Cell = tuple[str, float, int]  # start, learning rate, depth


def read() -> dict[Cell, Experiment]:
    """The experiments, in the order of the table. Raises `Mistake`."""

    def parse(content: dict) -> dict[str, list[Experiment]]:
        return {start: [Experiment.model_validate(one) for one in many] for start, many in content.items()}

    named = runs.read_recipes(RECIPES, parse)
    return {(start, one.recipe.lr, one.network.depth): one for start, many in named.items() for one in many}


def boundary(trained: dict[Cell, bool]) -> list[Cell]:
    """Where a neighbour from the same start, next in depth or next in learning rate, has another answer; in order."""
    found = set()
    lines: dict[tuple, list[Cell]] = {}
    for start, lr, depth in trained:
        lines.setdefault((start, "depths at", lr), []).append((start, lr, depth))
        lines.setdefault((start, "learning rates at", depth), []).append((start, lr, depth))
    for line in lines.values():
        for one, other in pairwise(sorted(line)):
            if trained[one] != trained[other]:
                found |= {one, other}
    return [cell for cell in trained if cell in found]


def measure(place: torch.device, one: runs.Run) -> runs.Row:
    """A run's line, from its trained weights."""
    network, about = runs.trained(one, place)
    row = one.about | row_measures.first_step(runs.untrained(one.experiment, one.seed, place), one.experiment, place)
    row |= row_measures.scores(network, one.experiment, place)
    return row | {"diverged": "yes" if about["diverged"] else "no", "scale": one.experiment.scale}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    experiments, place = read(), device.choose()
    known = runs.code_and_data("sweep")

    def one_run(cell: Cell, seed: int) -> runs.Run:
        experiment, (start, lr, depth) = experiments[cell], cell
        about = {"start": start, "depth": depth, "lr": lr, "epochs": experiment.recipe.epochs, "seed": seed}
        return runs.Run(experiment, seed, RUNS / experiment.name, runs.key(experiment, place, known), about)

    with claimed(RUNS):
        checkpoint.forget_recorded(RUNS)
        first = {cell: one_run(cell, 0) for cell in experiments}
        rows = runs.carry_out("sweep", list(first.values()), partial(measure, place), place)
        trained = {cell: row["trained"] == "yes" for cell, row in zip(first, rows, strict=True)}
        chosen = boundary(trained)
        more = [one_run(cell, seed) for cell in chosen for seed in range(1, experiments[cell].recipe.seeds)]
        if more:
            rows += runs.carry_out("sweep, the boundary", more, partial(measure, place), place)
        order = list(experiments)
        rows.sort(key=lambda row: (order.index((row["start"], row["lr"], row["depth"])), row["seed"]))
        write_table(TABLE, rows)
        kept = [run.row.relative_to(RUNS).as_posix() for run in [*first.values(), *more]]
        checkpoint.note_complete(RUNS, kept, TABLE)
    print(
        f"{sum(trained.values())} of {len(trained)} networks trained, {len(chosen)} are at the boundary; {len(rows)} "
        f"runs in {TABLE}"
    )


if __name__ == "__main__":
    run(main)
