"""deepened: a trained plain network gets layers that do nothing, and is trained further: does it stay at its solution?

    python src/deepened.py

Reads recipes/deepened.json (the block `deepened` in params.yaml) and the training and validation splits, never the test
split. Each seed trains the shallow network, inserts identity layers (lineage/identity.py) until it is as deep as the
deep one, and trains that further by the same recipe, from its first step to its last: the learning rate goes up and
down once more, the optimiser remembers nothing, and the order of the images is new. The shallow network is trained
further in the same way, for comparison. The layers are inserted in two ways, `training` and `use`: so that they do
nothing in training either, with batch norm's shift and scale from the images; or in evaluation alone, as fresh layers
have them.

Writes plots/tables/deepened.csv, a line for each seed, network and state of it (trained, inserted, trained on): loss
and error on images without augmentation; batch_loss, that of the training images where batch norm takes its statistics
from them, at most 64 at a time, in float32 and without augmentation; how large the first step of further training is
(columns as in plots/tables/sweep.csv); and highest_val_error of any epoch on the way. At full scale expect half an hour
on two cores; it goes on where it was killed, as `sweep` does.
"""

from lineage.errors import Failure, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import math
import statistics
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F

from lineage import anatomy, identity, row_measures, runs
from lineage.engine import augment, checkpoint, device
from lineage.engine.experiment import Experiment
from lineage.files import claimed, write_table

RECIPES, RUNS, TABLE = Path("recipes/deepened.json"), Path("runs/deepened"), Path("plots/tables/deepened.csv")
INSERTIONS = ("training", "use")  # where the inserted layers do nothing
TRAINED, INSERTED, TRAINED_ON = "trained", "inserted", "trained on"


def read() -> dict[str, Experiment]:
    """The shallow and the deep experiment. Raises `Mistake`."""
    return runs.read_recipes(
        RECIPES, lambda content: {which: Experiment.model_validate(content[which]) for which in ("shallow", "deep")}
    )


@torch.no_grad()
def batch_loss(network: torch.nn.Module, experiment: Experiment, place: torch.device) -> float:
    """The loss on the training images with each batch's own statistics in batch norm."""
    images, network = augment.load(experiment, ("train",), place)["train"], anatomy.estimating(network)
    batches = anatomy.batches(images)
    labels = [images.labels[k :: len(batches)] for k in range(len(batches))]  # as the images are spread over batches
    return statistics.fmean(F.cross_entropy(network(x), y).item() for x, y in zip(batches, labels, strict=True))


def line(
    network: torch.nn.Module, experiment: Experiment, about: runs.Row, state: str, place: torch.device
) -> runs.Row:
    """What is measured in each state."""
    row = about | {"state": state} | row_measures.scores(network, experiment, place)
    row |= {"batch_loss": batch_loss(network, experiment, place), "highest_val_error": math.nan, "diverged": "no"}
    return row | row_measures.first_step(network, experiment, place) | {"scale": experiment.scale}


def measure(state: str, place: torch.device, one: runs.Run) -> runs.Row:
    """The line of a trained network, whose weights stay."""
    network, about = runs.trained(one, place)
    row = line(network, one.experiment, one.about, state, place)
    if state == TRAINED_ON:
        row["highest_val_error"] = max(line["val_error"] for line in about["history"])
    return row | {"diverged": "yes" if about["diverged"] else "no"}


def deepened(network: torch.nn.Module, target: runs.Run, images: augment.Images) -> torch.nn.Module:
    """The network with the layers that the run's insertion names. Raises `Failure` if it says something else then."""
    place = images.labels.device
    deep = runs.untrained(target.experiment, target.seed, place)
    neutral_in_training = target.about["insertion"] == "training"
    identity.insert_identities(network, deep, images if neutral_in_training else None)
    apart = identity.difference(network, deep, images.plain(0, 100))
    if apart > identity.CLOSE:
        raise Failure(f"seed {target}: the inserted layers change what the network says, by {apart:.2g} of its logits")
    return deep


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    experiments, place = read(), device.choose()
    shallow, deep = experiments["shallow"], experiments["deep"]
    known = runs.code_and_data("deepened")
    key, seeds = runs.key(shallow, place, known), range(shallow.recipe.seeds)

    def trained_on(seed: int, experiment: Experiment, insertion: str) -> runs.Run:
        about = {"seed": seed, "depth": experiment.network.depth, "insertion": insertion}
        folder = RUNS / f"{experiment.name}-{insertion or 'control'}"
        # another seed is another order of the images; what comes out depends on the shallow network, too, and its seed
        own = runs.key(experiment, place, f"{known}{key}{seed}")
        return runs.Run(experiment, seed + len(seeds), folder, own, about, given=True)

    with claimed(RUNS):
        checkpoint.forget_recorded(RUNS)
        about = {"depth": shallow.network.depth, "insertion": ""}
        before = [runs.Run(shallow, seed, RUNS / shallow.name, key, {"seed": seed} | about) for seed in seeds]
        rows = runs.carry_out("deepened, shallow", before, partial(measure, TRAINED, place), place, keep_states=True)
        device.prepare(place, shallow.recipe.threads)
        images, after = augment.load(shallow, ("train",), place)["train"], []
        for seed, source in enumerate(before):
            network, _ = runs.trained(source, place)
            for target in [trained_on(seed, shallow, ""), *(trained_on(seed, deep, how) for how in INSERTIONS)]:
                begins = network
                if target.about["insertion"]:
                    begins = deepened(network, target, images)
                    rows.append(line(begins, deep, target.about, INSERTED, place))
                runs.begin_with(begins, target)
                after.append(target)
        rows += runs.carry_out(
            "deepened, trained on", after, partial(measure, TRAINED_ON, place), place, keep_states=True
        )
        order = [TRAINED, INSERTED, TRAINED_ON]
        rows.sort(key=lambda row: (row["seed"], row["depth"], row["insertion"], order.index(row["state"])))
        write_table(TABLE, rows)
        kept = [path.relative_to(RUNS).as_posix() for one in [*before, *after] for path in (one.row, one.state)]
        checkpoint.note_complete(RUNS, kept, TABLE)
    print(f"{len(seeds)} seeds in {len(rows)} lines of {TABLE}")


if __name__ == "__main__":
    run(main)
