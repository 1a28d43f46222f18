"""equalised: does a deep plain network train if all its gradients have the same relative norm?

    python src/equalised.py

Trains on SIGNS the networks of recipes/equalised.json (the block `equalised` in params.yaml), by one recipe, but with
gradients that have the same relative norm in all layers and steps (lineage/relative_steps.py). Several such norms are
tried with the first seed of each network. The one with the lowest validation loss is its own, and is trained with
the other seeds too. Reads the training and validation splits, never the test split. Writes plots/tables/equalised.csv,
a line per run:

- network, family, depth, initialisation, ratio (the relative norm), seed
- train_loss, train_error, val_loss, val_error at the end, on images without augmentation
- trained: whether the training error is below 80 % of that at chance level
- chosen: whether that ratio is the network's own

At full scale expect an hour and a half on two cores; it goes on where it was killed, as `sweep` does.
"""

from lineage.errors import run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
from functools import partial
from pathlib import Path

import torch

from lineage import row_measures, runs
from lineage.engine import checkpoint, device
from lineage.files import claimed, write_table
from lineage.relative_steps import Equalised

RECIPES, RUNS, TABLE = Path("recipes/equalised.json"), Path("runs/equalised"), Path("plots/tables/equalised.csv")


def read() -> dict[str, list[Equalised]]:
    """Of each network its experiments, one per relative norm. Raises `Mistake`."""

    def parse(content: dict) -> dict[str, list[Equalised]]:
        return {
            name: [
                Equalised.model_validate(one | {"name": f"{name}-{ratio:g}", "ratio": ratio})
                for ratio in content["ratios"]
            ]
            for name, one in content["networks"].items()
        }

    return runs.read_recipes(RECIPES, parse)


def measure(place: torch.device, one: runs.Run) -> runs.Row:
    """A run's line, from its trained weights."""
    network, about = runs.trained(one, place)
    row = one.about | row_measures.scores(network, one.experiment, place)
    return row | {"diverged": "yes" if about["diverged"] else "no", "scale": one.experiment.scale}


def best(rows: list[runs.Row]) -> runs.Row:
    """The run with the lowest validation loss among those that did not diverge, if there are any."""
    return min(rows, key=lambda row: (row["diverged"] == "yes", row["val_loss"]))


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    networks, place = read(), device.choose()
    known = runs.code_and_data("equalised")

    def one_run(network: str, experiment: Equalised, seed: int) -> runs.Run:
        options = experiment.network
        about = {"network": network, "family": "plain" if options.shortcut == "none" else "resnet"}
        about |= {"depth": options.depth, "initialisation": experiment.start}
        about |= {"ratio": experiment.ratio, "seed": seed}
        return runs.Run(experiment, seed, RUNS / experiment.name, runs.key(experiment, place, known), about)

    with claimed(RUNS):
        checkpoint.forget_recorded(RUNS)
        every = [one_run(name, one, 0) for name, several in networks.items() for one in several]
        rows = runs.carry_out("equalised", every, partial(measure, place), place)
        own = {name: best([row for row in rows if row["network"] == name])["ratio"] for name in networks}
        chosen = [(name, one) for name, several in networks.items() for one in several if one.ratio == own[name]]
        more = [one_run(name, one, seed) for name, one in chosen for seed in range(1, one.recipe.seeds)]
        if more:
            rows += runs.carry_out("equalised, the other seeds", more, partial(measure, place), place)
        order = [(name, one.ratio) for name, several in networks.items() for one in several]
        rows.sort(key=lambda row: (order.index((row["network"], row["ratio"])), row["seed"]))
        write_table(TABLE, [row | {"chosen": "yes" if row["ratio"] == own[row["network"]] else "no"} for row in rows])
        checkpoint.note_complete(RUNS, [one.row.relative_to(RUNS).as_posix() for one in [*every, *more]], TABLE)
    print(f"{sum(row['trained'] == 'yes' for row in rows)} of {len(rows)} runs trained; all in {TABLE}")


if __name__ == "__main__":
    run(main)
