import re
from pathlib import Path

import pytest
from conftest import content

from lineage import effort
from lineage.engine.experiment import Experiment
from lineage.files import write_json

# images per second in bfloat16 of the slower machine of docs/speed.md, from which the README's times come
IN_BFLOAT16 = {
    "vgg16-cifar100": 54,
    "resnet-20-cifar10": 1041,
    "resnet-56-cifar10": 352,
    "resnet34-signs": 174,
    "alexnet-cats-vs-dogs-cifar": 58,
}
IN_FLOAT32 = {"vgg16-cifar100": 36, "resnet-20-cifar10": 719, "resnet34-signs": 104}  # on its Xeon


def recorded(name):
    return Experiment.model_validate_json(content(f"recipes/experiments/{name}.json"))


@pytest.mark.parametrize(
    ("precision", "name", "measured"),
    [("bf16", *one) for one in IN_BFLOAT16.items()] + [("fp32", *one) for one in IN_FLOAT32.items()],
)
def test_within_a_factor_of_two_of_what_was_measured(precision, name, measured):
    experiment = recorded(name)
    recipe = experiment.recipe.model_copy(update={"precision": precision, "grow": {}})  # measured at the last size
    experiment = experiment.model_copy(update={"recipe": recipe})
    assert 1 / 1.2 < measured * effort.seconds_an_image(experiment) < 2


def test_in_words(workspace):
    short, growing = recorded("plain-20-signs32"), recorded("vgg16-cifar100")
    still = growing.model_copy(update={"recipe": growing.recipe.model_copy(update={"grow": {}})})
    assert effort.seconds_an_image(growing) < 0.8 * effort.seconds_an_image(still)
    assert effort.how_long(short) == ""  # nothing is known of the data
    write_json(Path("metrics/data/signs.json"), {"train_images": 961})
    assert effort.how_long(short).startswith("up to 4 minutes on two CPU cores")
    assert effort.how_long(short).endswith("with bfloat16 in hardware, estimated")
    in_float32 = short.model_copy(update={"recipe": short.recipe.model_copy(update={"precision": "fp32"})})
    assert effort.how_long(in_float32).endswith("with AVX-512, estimated")
    few = short.model_copy(update={"max_images": 96})
    assert effort.how_long(few).startswith("up to a minute")
    write_json(Path("metrics/data/signs.json"), {"train_images": 961 * 100})
    assert effort.how_long(short).startswith("up to 6 hours")  # five seeds count as six


@pytest.mark.parametrize(("threads", "seeds", "counted"), [(1, 1, 2), (1, 3, 4), (1, 4, 4), (2, 1, 1), (2, 3, 3)])
def test_on_two_cores_the_last_seed_alone_takes_as_long_as_two(workspace, threads, seeds, counted):
    write_json(Path("metrics/data/signs.json"), {"train_images": 100_000})
    experiment = recorded("resnet34-signs")
    changed = experiment.recipe.model_copy(update={"threads": threads, "seeds": seeds})
    hours = int(re.match(r"up to (\d+) hours", effort.how_long(experiment.model_copy(update={"recipe": changed})))[1])
    passes = changed.epochs * 100_000 * counted
    assert 0 <= hours - passes * effort.seconds_an_image(experiment) / 3600 < 1  # it is an upper bound
