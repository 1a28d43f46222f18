"""float64: is rounding the reason that deep plain networks fail? They are trained in float64.

    python src/float64.py

Trains on SIGNS the networks of recipes/float64.json (the block `float64` in params.yaml), by one recipe: as usual, or
with gradients that have the same relative norm in all layers and steps, as src/equalised.py does it. Reads the
training and validation splits, never the test split. Writes plots/tables/float64.csv, a line per network and seed:

- network, depth, ratio (the relative norm; empty: gradients as they are), seed
- train_loss, train_error, val_loss, val_error at the end, on images without augmentation
- trained: whether the training error is below 80 % of that at chance level

At full scale expect two hours on two cores: torch's convolutions take five times as long in float64 as in float32. It
goes on where it was killed, as `sweep` does.
"""

from lineage.errors import run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
from functools import partial
from pathlib import Path

from equalised import measure
from lineage import runs
from lineage.engine import checkpoint, device
from lineage.files import claimed, write_table
from lineage.float64 import Float64

RECIPES, RUNS, TABLE = Path("recipes/float64.json"), Path("runs/float64"), Path("plots/tables/float64.csv")


def read() -> dict[str, Float64]:
    """The experiments by the names of their networks. Raises `Mistake`."""
    return runs.read_recipes(
        RECIPES, lambda content: {name: Float64.model_validate(one) for name, one in content.items()}
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    experiments, place = read(), device.choose()
    known = runs.code_and_data("float64")

    def one_run(name: str, seed: int) -> runs.Run:
        one = experiments[name]
        ratio = "" if one.ratio is None else one.ratio
        about = {"network": name, "depth": one.network.depth, "ratio": ratio, "seed": seed}
        return runs.Run(one, seed, RUNS / name, runs.key(one, place, known), about)

    with claimed(RUNS):
        checkpoint.forget_recorded(RUNS)
        most = max(one.recipe.seeds for one in experiments.values())
        # seed by seed, so that each network has some should the stage be stopped for good
        many = [
            one_run(name, seed) for seed in range(most) for name, one in experiments.items() if seed < one.recipe.seeds
        ]
        rows = runs.carry_out("float64", many, partial(measure, place), place)
        order = list(experiments)
        rows.sort(key=lambda row: (order.index(row["network"]), row["seed"]))
        write_table(TABLE, rows)
        checkpoint.note_complete(RUNS, [run.row.relative_to(RUNS).as_posix() for run in many], TABLE)
    print(f"{sum(row['trained'] == 'yes' for row in rows)} of {len(rows)} runs trained; all in {TABLE}")


if __name__ == "__main__":
    run(main)
