import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, dataset_recipe, one_line, sha256

from lineage.engine import tensors
from lineage.parts import channel_statistics


@pytest.fixture
def raw_signs(workspace, run_script):
    Path("data/sample").mkdir(parents=True)
    archive = Path(shutil.copy(REPOSITORY / "data/sample/signs.zip", "data/sample"))
    dataset_recipe("signs", archive, "folders", list("012345"), 64)
    assert run_script("fetch", "signs").returncode == 0


def test_real_signs_become_tensors(raw_signs, run_script):
    assert run_script("preprocess", "signs").returncode == 0
    metrics = json.loads(Path("metrics/data/signs.json").read_text())
    assert metrics == {"train_images": 961, "val_images": 107, "test_images": 120, "twins_dropped": 12}
    parts = {part: tensors.load("signs", part) for part in ("train", "val", "test")}
    for arrays in parts.values():
        assert arrays["images"].dtype == np.uint8
        assert arrays["images"].shape[1:] == (3, 64, 64)
        assert arrays["labels"].dtype == np.int64
    mean, std = channel_statistics(parts["train"]["images"])
    assert parts["train"]["mean"].tolist() == mean.tolist()
    assert parts["train"]["std"].tolist() == std.tolist()
    before = {path: sha256(path) for path in Path("data/tensors/signs").iterdir()}
    run_script("preprocess", "signs")
    assert {path: sha256(path) for path in Path("data/tensors/signs").iterdir()} == before


def test_without_raw_data(workspace, run_script):
    assert "run `dvc repro fetch@signs` first" in one_line(run_script("preprocess", "signs"), 2)
