"""Trained weights on disk: models/<experiment>/seed-<n>.safetensors, with a description of how they came about."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from lineage.errors import Failure, Mistake
from lineage.files import write_bytes


def save(path: Path, network: nn.Module, about: dict[str, object]) -> None:
    """Write the weights all at once or not at all; `about` goes into the file's metadata, and must not depend on the
    clock.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_bytes(path, serialise(state, {"about": json.dumps(about)}))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The weights and what `save` was told about them. Loading runs no code. Raises `Mistake`, `Failure`."""
    if not path.is_file():
        raise Mistake(f"{path} is missing: run `dvc repro train@{path.parent.name}` first")
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in sorted(file.keys())}, json.loads(file.metadata()["about"])
    except SafetensorError as error:
        raise Failure(f"{path} is damaged ({error}): run `dvc repro --force train@{path.parent.name}`") from None


def versions(device: torch.device, threads: int) -> dict[str, str]:
    """What results depend on apart from code, data and parameters."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "device": name,
        "threads": str(threads),
        "torch": torch.__version__,
        "cuda": f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}" if device.type == "cuda" else "",
    }
