import subprocess
import sys
from pathlib import Path

from conftest import REPOSITORY, one_line
from test_train import experiment
from torch import nn

from lineage.files import write_json
from lineage.models import resnet


def test_layers_shapes_and_sizes(workspace, run_here):
    experiment()
    unknown = "training all seeds takes a time that is known after `dvc repro preprocess@grey`"
    assert unknown in run_here("describe", "mine").stdout
    write_json(Path("metrics/data/grey.json"), {"train_images": 96})
    result = run_here("describe", "mine")
    assert result.returncode == 0, result.stderr
    assert "[1, 16, 16, 16]" in result.stdout  # the first stage at 16 pixels
    assert "Conv2d" in result.stdout
    assert "training all seeds takes up to a minute on two CPU cores" in result.stdout.splitlines()[-2]
    assert result.stdout.splitlines()[-1].startswith("74,835 parameters, ")
    assert result.stdout.splitlines()[-1].endswith("multiply-adds per image")


def test_head_takes_what_it_needs(workspace):
    experiment()
    script = f"'{sys.executable}' '{REPOSITORY}/src/describe.py' mine | head -1; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 2
    assert result.stdout.splitlines()[1] in ("0", "141")  # the pipe may hold all of it before head leaves


def test_a_network_that_is_no_classifier_of_these_classes(workspace, run_here, monkeypatch):
    experiment()
    monkeypatch.setattr(resnet, "build", lambda *_: nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(3, 7)))
    said = one_line(run_here("describe", "mine"), 2)
    assert said.endswith("src/lineage/models/resnet.py: the outputs should be N×3, as there are classes, not N×7")
    monkeypatch.delattr(resnet, "build")
    assert "src/lineage/models/resnet.py needs a function `build`: docs" in one_line(run_here("describe", "mine"), 2)


def test_layers_that_do_not_fit_each_other(workspace, run_here, monkeypatch):
    experiment()
    monkeypatch.setattr(resnet, "build", lambda *_: nn.Sequential(nn.Flatten(), nn.Linear(5, 3)))
    said = one_line(run_here("describe", "mine"), 2)
    assert "src/lineage/models/resnet.py: images of 16×16 pixels do not pass through its layers: mat1 and mat2" in said


def test_an_unknown_experiment(workspace, run_here):
    in_another_folder = one_line(run_here("describe", "nothing"), 2)
    assert "recipes/experiments is missing: run this in the top folder, after `dvc repro recipes`" in in_another_folder
    experiment()
    assert "nothing.json is missing" in one_line(run_here("describe", "nothing"), 2)
    assert "mime is not an experiment; close names: mine" in one_line(run_here("describe", "mime"), 2)
