"""One seed's training, from the beginning or from its last checkpoint, with curves for TensorBoard."""

import shutil
import threading
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from lineage.engine import augment, checkpoint, device, training
from lineage.engine.experiment import Experiment
from lineage.errors import Mistake
from lineage.progress import Progress


def train_seed(
    experiment: Experiment, place: torch.device, states: list[Path], every: float, seed: int, progress: Progress
) -> None:
    """Train one seed, from the beginning or from where an earlier run of the same was killed, and leave its weights and
    history in its file of `states`. `every` is the least number of seconds between two checkpoints.
    """
    recipe, state = experiment.recipe, states[seed]
    device.prepare(place, recipe.threads)
    threading.excepthook = lambda _: None  # the curves' writer hands its errors on to this thread
    images = augment.load(experiment, ("train", "val"), place, recipe.shift)
    torch.manual_seed(seed)
    network = experiment.build().to(place, memory_format=augment.LAYOUTS[recipe.layout])
    job = training.Training(network, images["train"], images["val"], recipe, seed)
    if found := checkpoint.load_state(state, progress.say):
        job.resume(*found)
        if job.history:  # none where other weights were laid down for it to begin with
            progress.say(f"seed {seed}: resuming at epoch {len(job.history) + 1} of {job.epochs}")
    progress.skip(seed, len(job.history))
    curves_folder = state.parent / f"seed-{seed}"
    shutil.rmtree(curves_folder, ignore_errors=True)  # the curves are written anew
    with SummaryWriter(str(curves_folder)) as curves:
        for line in job.history:
            draw(curves, line)
        saved = time.monotonic()
        while not job.finished:
            progress.begin(seed, len(job.history) + 1)
            steps, began = min(job.per_epoch, job.steps - len(job.history) * job.per_epoch), time.monotonic()
            try:
                line = job.epoch(partial(progress.step, seed))
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):
                    raise
                raise Mistake("batch norm needs more than one image: set a larger train.batch_size") from None
            speed = steps * min(recipe.batch_size, len(images["train"])) / (time.monotonic() - began)
            draw(curves, line)
            progress.show(seed, line.epoch, speed, line.lr, line.train_loss, line.train_error, line.val_error)
            if time.monotonic() - saved >= every and not job.finished:
                checkpoint.save_state(state, *job.state())
                saved = time.monotonic()
    if job.diverged:
        epoch, lr = job.history[-1].epoch, job.history[-1].lr
        helps = f"a lower {'muon_step or lr' if recipe.muon_step else 'lr'} helps"
        progress.say(f"seed {seed} diverged: the loss is not finite in epoch {epoch} at lr {lr:g}; {helps}")
        progress.skip(seed, job.epochs - epoch)
    about = {"history": [asdict(line) for line in job.history], "kept": asdict(job.kept), "diverged": job.diverged}
    about |= {key: getattr(images["train"], key).tolist() for key in ("mean", "std")}  # as images are normalised
    checkpoint.save_state(state, job.weights(), about)
    progress.end(seed)


def draw(curves: SummaryWriter, line: training.Epoch) -> None:
    for name, value in asdict(line).items():
        if name not in ("seed", "epoch"):
            curves.add_scalar(name, value, line.epoch)
