from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import one_line, sha256

import gradients
from lineage.engine import tensors


@pytest.fixture
def unchanged():
    """`main` sets how torch works in this process; the other tests are not to notice."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def test_every_network_initialisation_and_seed(workspace, signs, monkeypatch, unchanged):
    chosen = np.linspace(0, len(signs["labels"]) - 1, 40).astype(int)
    arrays = {
        "images": np.ascontiguousarray(signs["images"][chosen].transpose(0, 3, 1, 2)),
        "labels": signs["labels"][chosen],
    }
    arrays |= {"mean": np.full(3, 0.5), "std": np.full(3, 0.3)}
    tensors.save(Path("data/tensors/signs/train.safetensors"), arrays, list("012345"))
    monkeypatch.setattr(gradients, "DEPTHS", (8, 14))
    monkeypatch.setattr(gradients, "SEEDS", 2)
    monkeypatch.setattr("sys.argv", ["gradients.py"])
    gradients.main()
    table = pd.read_csv("plots/gradients.csv")
    by_network = table.groupby(["family", "depth", "initialisation", "batch_norm", "seed"]).layer.agg(
        ["min", "max", "count"]
    )
    assert len(by_network) == 2 * 2 * 3 * 2 * 2
    depth = by_network.index.get_level_values("depth")
    assert (
        (by_network["min"] == 1).all() and (by_network["max"] == depth).all() and (by_network["count"] == depth).all()
    )
    assert table.gradient.notna().all() and (table.gradient >= 0).all()
    assert table.groupby("seed").gradient.mean().nunique() == 2
    first = sha256("plots/gradients.csv")
    gradients.main()
    assert sha256("plots/gradients.csv") == first


def test_before_the_data(workspace, run_script):
    assert "run `dvc repro preprocess@signs` first" in one_line(run_script("gradients"), 2)


def test_it_takes_no_arguments(workspace, run_script):
    assert run_script("gradients", "plain-56").returncode == 2
