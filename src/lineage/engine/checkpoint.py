"""Networks on disk: trained weights, models/<experiment>/seed-<n>.safetensors, with a description of how they came
about; and the state of a run at the end of an epoch, from which one that was killed goes on.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from lineage.engine.device import precision_on
from lineage.engine.experiment import Experiment
from lineage.engine.recipe import Recipe
from lineage.errors import Failure, Mistake
from lineage.files import read_json, replacing, write_bytes, write_json

SOURCE = Path(__file__).parents[2]  # the folder src
DIGEST = 32  # bytes of a SHA-256


def save(path: Path, weights: dict[str, Tensor], about: dict[str, object]) -> None:
    """Write the weights all at once or not at all; `about` goes into the file's metadata, and must not depend on the
    clock.
    """
    on_cpu = {name: _on_cpu(tensor) for name, tensor in weights.items()}
    write_bytes(path, serialise(on_cpu, {"about": json.dumps(about)}))


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The weights and what `save` was told about them. Loading runs no code. Raises `Mistake`, `Failure`."""
    if not path.is_file():
        raise Mistake(f"{path} is missing: run `dvc repro train@{path.parent.name}` first")
    again = f"run `dvc repro --force train@{path.parent.name}`"
    try:
        with safe_open(path, "pt") as file:
            about = (file.metadata() or {}).get("about")
            if about is None:
                raise Failure(f"{path} was not written by this project: {again}")
            return {name: file.get_tensor(name) for name in sorted(file.keys())}, json.loads(about)
    except SafetensorError as error:
        raise Failure(f"{path} is damaged ({error}): {again}") from None


def versions(device: torch.device, recipe: Recipe) -> dict[str, str]:
    """What the bytes of a result depend on apart from code, data and parameters."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else "cpu",
        "instructions": "" if cuda else torch.backends.cpu.get_cpu_capability(),
        "precision": precision_on(device, recipe.precision),
        "threads": str(recipe.threads),
        "torch": torch.__version__,
        "cuda": f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}" if cuda else "",
    }


def key(experiment: Experiment, device: torch.device) -> str:
    """Twelve hexadecimal digits of all that decides how one seed is trained: recipe, data, code, versions. Code and
    data are what `dvc.yaml` lists for the stage, so that another word in a message discards no checkpoint.
    """
    known = [experiment.one_seed(), versions(device, experiment.recipe)]
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    for path in _dependencies(experiment):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def _dependencies(experiment: Experiment) -> list[Path]:
    """The files that the stage `train` depends on, in their order, without the recipe, which also has the seeds."""
    stages = yaml.safe_load((SOURCE.parent / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    names = {"${key}": experiment.name, "${item.dataset}": experiment.dataset, "${item.model}": experiment.model}
    files = []
    for dependency in stages["train"]["do"]["deps"]:
        for variable, value in names.items():
            dependency = dependency.replace(variable, value)
        path = SOURCE.parent / dependency if dependency.startswith("src/") else Path(dependency)
        if not dependency.startswith("recipes/"):
            files += sorted(path.glob("*.py")) if path.is_dir() else [path]
    return files


def seconds_between() -> float:
    """The least time from one checkpoint to the next: the variable CHECKPOINT_SECONDS, or 30. Raises `Mistake`."""
    text = os.environ.get("CHECKPOINT_SECONDS", "30")
    if not text.replace(".", "", 1).isdecimal():
        raise Mistake(f"CHECKPOINT_SECONDS should be a number, not {text!r}")
    return float(text)


def save_state(path: Path, state: dict[str, Tensor], about: dict[str, object]) -> None:
    """Write the state of a run, tensor by tensor, because a copy of it all might not fit into memory. In front of it
    goes the SHA-256 of the rest: no format would notice every bit that flips.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(bytes(DIGEST))  # its place
        hashed = _Hashed(file)
        text = json.dumps({"about": about, "names": list(state)}).encode()
        for array in (np.frombuffer(text, np.uint8), *(_on_cpu(tensor).numpy() for tensor in state.values())):
            np.save(hashed, array, allow_pickle=False)
        file.seek(0)
        file.write(hashed.sha256.digest())


class _Hashed:
    """A file to write to, and the SHA-256 of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha256 = file, hashlib.sha256()

    def write(self, content: bytes) -> None:
        self.sha256.update(content)
        self.file.write(content)


def load_state(path: Path, say: Callable[[str], object] = print) -> tuple[dict[str, Tensor], dict[str, object]] | None:
    """What `save_state` was told; None where there is no such file, or a damaged one, which is set aside and said."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        digest = file.read(DIGEST)
        if hashlib.file_digest(file, "sha256").digest() == digest:
            file.seek(DIGEST)
            head = json.loads(np.load(file).tobytes())
            return {name: torch.from_numpy(np.load(file)) for name in head["names"]}, head["about"]
    aside = path.with_suffix(".damaged")
    path.replace(aside)
    say(f"{path} is damaged: set aside as {aside.name}, training starts over")
    return None


def note_complete(runs: Path, states: list[str], history: Path) -> None:
    """Note the states that a complete run leaves behind, and the MD5 by which dvc.lock will know its history."""
    md5 = hashlib.md5(history.read_bytes(), usedforsecurity=False).hexdigest()
    write_json(runs / "complete.json", {"history": md5, "states": states})


def forget_recorded(runs: Path) -> None:
    """Remove the states of a complete run whose outputs dvc.lock has: to run it once more is to train once more. Until
    then they stay, because a disk may fill up, or a plug be pulled, while DVC takes the outputs over.
    """
    noted, lock = runs / "complete.json", Path("dvc.lock")
    if noted.is_file() and lock.is_file():
        complete = read_json(noted)
        if complete["history"] in lock.read_text(encoding="utf-8"):
            for state in complete["states"]:
                (runs / state).unlink(missing_ok=True)
            noted.unlink()
