from pathlib import Path

import pytest
from conftest import REPOSITORY

from lineage import effort
from lineage.engine.experiment import read_experiment
from lineage.files import write_json

# images per second of the slower machine of docs/speed.md, from which the README's times come
MEASURED = {
    "vgg16-cifar100": 54,
    "resnet-20-cifar10": 1041,
    "resnet-56-cifar10": 352,
    "resnet34-signs": 174,
    "alexnet-cats-vs-dogs-cifar": 58,
}


@pytest.mark.parametrize("name", MEASURED)
def test_within_a_factor_of_two_of_what_was_measured(monkeypatch, name):
    monkeypatch.chdir(REPOSITORY)
    experiment = read_experiment(name)
    experiment.recipe.grow.clear()  # measured at the last size
    assert 1 / 1.2 < MEASURED[name] * effort.seconds_an_image(experiment) < 2


def test_in_words(monkeypatch, workspace):
    monkeypatch.chdir(REPOSITORY)
    short, growing = read_experiment("plain-20-signs32"), read_experiment("vgg16-cifar100")
    still = growing.model_copy(update={"recipe": growing.recipe.model_copy(update={"grow": {}})})
    assert effort.seconds_an_image(growing) < 0.8 * effort.seconds_an_image(still)
    monkeypatch.chdir(workspace)
    assert effort.how_long(short) == ""  # nothing is known of the data
    write_json(Path("metrics/data/signs.json"), {"train_images": 961})
    assert effort.how_long(short).startswith("about 3 minutes on two CPU cores")
    few = short.model_copy(update={"max_images": 96})
    assert effort.how_long(few).startswith("about a minute")
    write_json(Path("metrics/data/signs.json"), {"train_images": 961 * 100})
    assert effort.how_long(short).startswith("about 5 hours")
