"""initialisations: which initialisations let a deep plain network train?

    python src/initialisations.py

Trains on SIGNS what recipes/initialisations.json names (the block `initialisations` in params.yaml): one plain network,
by one recipe, from each of several initialisations (lineage/initialisations.py). Reads the training and
validation splits, never the test split. Writes plots/tables/initialisations.csv, a line per initialisation and seed;
what is measured has the same names as in plots/tables/sweep.csv. src/agreement.py measures the same networks before
their training.

At full scale expect forty minutes on two cores; it goes on where it was killed, as `sweep` does.
"""

from lineage.errors import run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
from functools import partial
from pathlib import Path

import torch

from lineage import initialisations, row_measures, runs
from lineage.engine import checkpoint, device
from lineage.engine.experiment import Experiment
from lineage.files import claimed, write_table

RECIPES, RUNS = Path("recipes/initialisations.json"), Path("runs/initialisations")
TABLE = Path("plots/tables/initialisations.csv")


def read() -> dict[str, Experiment]:
    """The experiment of each initialisation. Raises `Mistake`."""
    return runs.read_recipes(
        RECIPES, lambda content: {name: Experiment.model_validate(one) for name, one in content.items()}
    )


def begun(one: runs.Run, place: torch.device) -> torch.nn.Module:
    """A run's network before its training: as He's initialisation draws it, then changed."""
    network = runs.untrained(one.experiment, one.seed, torch.device("cpu"))  # a GPU would draw other numbers
    initialisations.initialise(network, one.about["initialisation"])
    return network.to(place)


def measure(place: torch.device, one: runs.Run) -> runs.Row:
    """A run's line, from its trained weights."""
    network, about = runs.trained(one, place)
    row = one.about | row_measures.first_step(begun(one, place), one.experiment, place)
    row |= row_measures.scores(network, one.experiment, place)
    return row | {"diverged": "yes" if about["diverged"] else "no", "scale": one.experiment.scale}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    experiments, place = read(), device.choose()
    known, many = runs.code_and_data("initialisations"), []
    with claimed(RUNS):
        checkpoint.forget_recorded(RUNS)
        for name, experiment in experiments.items():
            device.prepare(place, experiment.recipe.threads)  # the weights are made as in training
            about = {"initialisation": name, "depth": experiment.network.depth, "epochs": experiment.recipe.epochs}
            for seed in range(experiment.recipe.seeds):
                key = runs.key(experiment, place, known)
                one = runs.Run(experiment, seed, RUNS / experiment.name, key, about | {"seed": seed}, given=True)
                runs.begin_with(begun(one, place), one)
                many.append(one)
        rows = runs.carry_out("initialisations", many, partial(measure, place), place)
        write_table(TABLE, rows)
        checkpoint.note_complete(RUNS, [run.row.relative_to(RUNS).as_posix() for run in many], TABLE)
    print(f"{sum(row['trained'] == 'yes' for row in rows)} of {len(rows)} runs trained; all in {TABLE}")


if __name__ == "__main__":
    run(main)
