"""defects: what each defect of the articles does to the error that is reported.

    python src/defects.py

Trains on SIGNS the networks of recipes/defects.json (the block `defects` in params.yaml), with five seeds each: as they
should be trained, and once more for each defect of training in lineage/defective.py. Defects of evaluation need no
training of their own. Everything is measured on the validation images, which play the test set; the test set is not
read. Writes plots/tables/defects.csv, a line for each defect and seed:

- defect, articles, network, seed
- correct: the error of the same seed without the defect, after the last epoch
- reported: the error that the defect makes one report
- train_error: after the last epoch, in evaluation mode, on the training images without augmentation, without validation
  images that a defect adds to them

At full scale expect twenty minutes on two cores; SEEDS_AT_ONCE=3 in front of the command sets how many runs there are
at once. Each run leaves its line in runs/defects/: the same command goes on where it was killed, with the next run.
"""

from lineage.errors import run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import re
from functools import partial
from pathlib import Path

import torch

from lineage import row_measures, runs
from lineage.defective import DEFECTS, with_tested
from lineage.engine import augment, checkpoint, device, tensors, training
from lineage.engine.experiment import Experiment
from lineage.files import claimed, read_json, write_json, write_table
from lineage.parallel import seeds_at_once, side_by_side
from lineage.progress import Progress

RECIPES, RUNS, TABLE = Path("recipes/defects.json"), Path("runs/defects"), Path("plots/tables/defects.csv")
SOUND = ""  # what is trained as it should be has no defect


def read() -> dict[str, Experiment]:
    """The experiments by the names of their networks. Raises `Mistake`."""
    return runs.read_recipes(
        RECIPES, lambda content: {network: Experiment.model_validate(one) for network, one in content.items()}
    )


def train(one: runs.Run, place: torch.device, progress: Progress) -> training.Training:
    """A run's network, trained to its end, with the defect that the run names if it is one of training."""
    experiment, defect = one.experiment, DEFECTS.get(one.about["defect"])
    recipe = experiment.recipe
    device.prepare(place, recipe.threads)
    images = augment.load(experiment, ("train", "val"), place, recipe.shift)
    if defect and defect.tested:
        images["train"] = with_tested(images["train"], images["val"], defect.tested, one.seed)
    network = runs.untrained(experiment, one.seed, place)
    if defect and defect.spoil:
        defect.spoil(network)
    job = training.Training(network, images["train"], images["val"], recipe, one.seed)
    while not job.finished:
        progress.begin(str(one), len(job.history) + 1)
        job.epoch()
        progress.skip(str(one), 1)
    job.result.load_state_dict(job.weights())
    return job


def carry_out(place: torch.device, one: runs.Run, progress: Progress) -> None:
    """Train a run, and write the errors that are reported of it: its own, and if it is sound each judgement's."""
    job = train(one, place, progress)
    scores = row_measures.scores(job.result, one.experiment, place)
    reported = {SOUND: scores["val_error"]}
    for name, defect in DEFECTS.items():
        if one.about == {"defect": SOUND, "network": defect.network} and defect.judge:
            reported[name] = defect.judge(job)
    write_json(one.row, {"train_error": scores["train_error"], "reported": reported})
    progress.say(f"seed {one}: validation error {scores['val_error']:.2%}")
    progress.end(str(one))


def lines(done: dict[tuple[str, str, int], dict]) -> list[runs.Row]:
    """The table, from what each run has left, by network, defect and seed."""
    found = []
    for name, defect in DEFECTS.items():
        for network, trained_with, seed in done:
            if (network, trained_with) == (defect.network, name if defect.in_training else SOUND):
                own, sound = done[network, trained_with, seed], done[network, SOUND, seed]
                about = {"defect": name, "articles": defect.articles, "network": network, "seed": seed}
                errors = sound["reported"][SOUND], own["reported"][SOUND if defect.in_training else name]
                found.append(about | dict(zip(("correct", "reported"), errors, strict=True)))
                found[-1]["train_error"] = own["train_error"]
    return found


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    experiments, place = read(), device.choose()
    known = runs.code_and_data("defects")
    planned: dict[tuple[str, str, int], runs.Run] = {}
    for network, experiment in experiments.items():
        key = runs.key(experiment, place, known)
        wrong = [name for name, defect in DEFECTS.items() if defect.network == network and defect.in_training]
        for name in [SOUND, *wrong]:
            folder = RUNS / re.sub(r"[^a-z0-9.]+", "-", f"{network} {name or 'as it should be'}".lower())
            for seed in range(experiment.recipe.seeds):
                about = {"defect": name, "network": network}
                planned[network, name, seed] = runs.Run(experiment, seed, folder, key, about)
    with claimed(RUNS):
        checkpoint.forget_recorded(RUNS)
        waiting = [one for one in planned.values() if not runs.through(one)]
        if waiting:
            begin(waiting, len(planned), place)
        done = {place: read_json(one.row) for place, one in planned.items()}
        rows = lines(done)
        write_table(TABLE, [row | {"scale": next(iter(experiments.values())).scale} for row in rows])
        kept = [one.row.relative_to(RUNS).as_posix() for one in planned.values()]
        checkpoint.note_complete(RUNS, kept, TABLE)
    print(f"{len(DEFECTS)} defects in {len(rows)} lines of {TABLE}")


def begin(waiting: list[runs.Run], of: int, place: torch.device) -> None:
    """Train what has not been trained, side by side."""
    with torch.device("meta"):  # shapes alone
        sizes = [sum(parameter.numel() for parameter in one.experiment.build().parameters()) for one in waiting]
    largest = waiting[sizes.index(max(sizes))].experiment
    several = largest.recipe.model_copy(update={"seeds": len(waiting)})
    at_once = seeds_at_once(largest.model_copy(update={"recipe": several}), place)
    if largest.scale == "sample":  # a process would take longer to start than its run takes
        at_once = 1
    print(f"defects: {len(waiting)} of {of} runs, {at_once} at once, on {device.name(place)}", flush=True)
    images = tensors.length(largest.dataset, "train", largest.max_images)
    steps = *largest.recipe.steps(images), largest.recipe.epochs_of(images)
    with Progress("defects", len(waiting), *steps) as progress:
        side_by_side(partial(carry_out, place), waiting, at_once, progress)


if __name__ == "__main__":
    run(main)
