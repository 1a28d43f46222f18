import pickle
from pathlib import Path

import pytest
import torch
from conftest import sha256
from torch import nn

from lineage import checkpoint
from lineage.errors import Failure, Mistake


def test_weights_come_back_and_give_the_same_bytes(workspace):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    path = Path("models/mine/seed-0.safetensors")
    checkpoint.save(path, network, {"scale": "full", "seed": 0})
    first = sha256(path)
    checkpoint.save(path, network, {"scale": "full", "seed": 0})
    assert sha256(path) == first
    weights, about = checkpoint.load(path)
    assert about == {"scale": "full", "seed": 0}
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in network.state_dict().items())
    assert list(path.parent.iterdir()) == [path]


def test_missing_damaged_and_pickled_weights_are_refused(workspace):
    path = Path("models/mine/seed-0.safetensors")
    with pytest.raises(Mistake, match="run `dvc repro train@mine` first"):
        checkpoint.load(path)
    path.parent.mkdir(parents=True)
    for content in (b"", b"rubbish", pickle.dumps({"weight": 1})):
        path.write_bytes(content)
        with pytest.raises(Failure, match="is damaged"):
            checkpoint.load(path)
