"""Many trainings of one stage, each of them an experiment with a seed: side by side, each trained as `train` does it,
and kept as a row of a table as soon as it is through, so that a stage that is killed goes on where it was.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from pydantic import ValidationError

from lineage.engine import augment, checkpoint, device, tensors
from lineage.engine.experiment import Experiment
from lineage.errors import Failure, Mistake
from lineage.files import read_json, write_json
from lineage.parallel import seeds_at_once, side_by_side
from lineage.progress import Progress
from lineage.seed import train_seed

Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """One seed of an experiment, and its files: `row` once it has been measured, `state` on the way there."""

    experiment: Experiment
    seed: int
    folder: Path
    key: str  # of all that decides its row
    about: Row = field(default_factory=dict)  # what its row says beside what is measured
    given: bool = False  # `begin_with` gives it the weights that it begins with

    @property
    def state(self) -> Path:
        return self.folder / f"seed-{self.seed}-{self.key}.state"

    @property
    def row(self) -> Path:
        return self.state.with_suffix(".json")

    def __str__(self) -> str:
        return f"{self.seed} of {self.folder.name}"  # as a seed is named in messages: "seed 0 of plain-20-he-0.1"


def code_and_data(stage: str) -> str:
    """A digest of the code and the data that `dvc.yaml` lists for a stage. Raises `Mistake` where data are missing."""
    stages = yaml.safe_load((checkpoint.SOURCE.parent / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    digest = hashlib.sha256()
    for dependency in stages[stage]["deps"]:
        if dependency.startswith("recipes/"):
            continue  # of which each run has its part
        path = Path(dependency)
        path = checkpoint.SOURCE.parent / path if path.parts[0] == "src" else tensors.existing(path.parts[2], path.stem)
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            with file.open("rb") as opened:
                digest.update(file.name.encode() + hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def key(experiment: Experiment, place: torch.device, known: str) -> str:
    """Twelve hexadecimal digits of all that decides a run's row; `known` is the digest of code and data."""
    decides = [experiment.one_seed(), checkpoint.versions(place, experiment.recipe), known]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]


class _Told:
    """What `train_seed` tells of a run, handed on to the progress of all: in a log, a line per epoch of each would be
    thousands.
    """

    def __init__(self, run: Run, progress: Progress) -> None:
        self.run, self.seed, self.progress = str(run), run.seed, progress

    def say(self, text: str) -> None:
        self.progress.say(text.replace(f"seed {self.seed}", f"seed {self.run}", 1))

    def begin(self, _: int, epoch: int) -> None:
        self.progress.begin(self.run, epoch)

    def step(self, _: int) -> None:
        self.progress.step(self.run)

    def skip(self, _: int, epochs: int) -> None:
        self.progress.skip(self.run, epochs)

    def show(self, *_: object) -> None:
        pass

    def end(self, _: int) -> None:
        self.progress.end(self.run)


def read_recipes(path: Path, parse: Callable[[Any], T]) -> T:
    """What `parse` makes of a file of recipes/. Raises `Mistake`, `Failure`."""
    try:
        return parse(read_json(path))
    except (AttributeError, KeyError, TypeError, ValidationError):  # another version of the code has written it
        raise Mistake(f"{path} is of another version: run `dvc repro recipes` again") from None


def through(run: Run) -> bool:
    """Whether a run has its row. One that cannot be read, as after a power cut, is removed."""
    try:
        return run.row.is_file() and bool(read_json(run.row))
    except Failure:
        run.row.unlink()
        return False


def carry_out(
    name: str, runs: list[Run], measure: Callable[[Run], Row], place: torch.device, keep_states: bool = False
) -> list[Row]:
    """The rows of all runs, in their order: of those that have none yet each is trained and then measured. `measure`
    finds the trained weights in the run's state, which is removed afterwards, unless they are to be kept.
    """
    waiting = [run for run in runs if not through(run)]
    if len(waiting) < len(runs):
        print(f"{name}: {len(runs) - len(waiting)} of {len(runs)} runs are through already", flush=True)
    if waiting:
        deepest = max((run.experiment for run in waiting), key=lambda experiment: experiment.network.depth)
        several = deepest.recipe.model_copy(update={"seeds": len(waiting)})
        at_once = seeds_at_once(deepest.model_copy(update={"recipe": several}), place)
        if deepest.scale == "sample":  # a process would take longer to start than its run takes
            at_once = 1
        print(f"{name}: {len(waiting)} runs, {at_once} at once, on {device.name(place)}", flush=True)
        images = tensors.length(deepest.dataset, "train", deepest.max_images)
        steps = (*deepest.recipe.steps(images), deepest.recipe.epochs_of(images))
        with Progress(name, len(waiting), *steps) as progress:
            # what `side_by_side` calls a seed is here a run
            train = partial(_carry_out, measure, place, checkpoint.seconds_between(), keep_states)
            side_by_side(train, waiting, at_once, progress)
    return [read_json(run.row) for run in runs]


def _carry_out(
    measure: Callable[[Run], Row],
    place: torch.device,
    every: float,
    keep_states: bool,
    run: Run,
    progress: Progress,
) -> None:
    _, about = checkpoint.load_state(run.state, progress.say) or ({}, {})
    if run.given and not about:
        raise Failure(f"the weights that seed {run} begins with are lost: the same command makes them again")
    if "kept" in about:  # killed between its training and its row
        progress.skip(str(run), sys.maxsize)
    else:
        train_seed(run.experiment, place, {run.seed: run.state}, every, run.seed, _Told(run, progress))
    device.prepare(place, run.experiment.recipe.threads)
    row = measure(run)
    write_json(run.row, row)
    if not keep_states:
        run.state.unlink()
    progress.say(f"seed {run}: training error {row['train_error']:.2%}, validation error {row['val_error']:.2%}")


def trained(run: Run, place: torch.device) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The network of a run that has been trained, and what its state says of it: `kept`, `history`, `diverged`. Raises
    `Failure`.
    """
    weights, about = checkpoint.load_state(run.state) or ({}, {})
    if not weights:
        run.row.unlink(missing_ok=True)  # or else it would count as through
        raise Failure(f"seed {run} is lost: the same command trains it again")
    network = untrained(run.experiment, run.seed, place)
    network.load_state_dict(weights)
    return network, about


def begin_with(network: torch.nn.Module, run: Run) -> None:
    """Let a run begin with these weights, unless it has begun: the average of the weights, too, if there is one."""
    if not through(run) and not checkpoint.load_state(run.state):
        kinds = ("network", "average") if run.experiment.recipe.ema else ("network",)
        state = {f"{kind}/{name}": tensor for kind in kinds for name, tensor in network.state_dict().items()}
        checkpoint.save_state(run.state, state, {"history": []})


def untrained(experiment: Experiment, seed: int, place: torch.device) -> torch.nn.Module:
    """A seed's network as its training begins."""
    torch.manual_seed(seed)
    return experiment.build().to(place, memory_format=augment.LAYOUTS[experiment.recipe.layout])
