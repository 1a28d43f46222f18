import json

import pytest
import torch
from test_params import REAL, changed, read

from lineage import experiments, params
from lineage.engine.experiment import Experiment
from lineage.errors import Mistake


def resolve(content, name, folder):
    return experiments.resolve(read(content, folder), name)


@pytest.mark.parametrize("scale", ["full", "sample"])
def test_every_experiment_is_complete_and_its_network_can_be_built(tmp_path, scale):
    everything = read(changed("scale", scale), tmp_path)
    built = set()
    for name in REAL["experiments"]:
        experiment = experiments.resolve(everything, name)
        assert experiment.scale == scale
        assert Experiment.model_validate(json.loads(json.dumps(experiment.changes()))) == experiment
        sizes = (*experiment.recipe.grow, experiment.recipe.input_size)
        network = (experiment.model, str(experiment.network), experiment.classes, sizes)
        if network not in built:  # one network has many recipes
            built.add(network)
            with torch.device("meta"):
                network = experiment.build()
                for size in sizes:
                    assert network(torch.empty(2, 3, size, size)).shape == (2, experiment.classes), name
    assert 20 < len(built) < len(REAL["experiments"])


def test_train_wins_over_the_experiment_and_the_experiment_over_its_recipe(tmp_path):
    content = changed("experiments/resnet34-signs/lr", 0.3)
    assert resolve(content, "resnet34-signs", tmp_path).recipe.lr == 0.3
    content["train"]["lr"] = 0.001
    everything = read(content, tmp_path)
    for name in content["experiments"]:
        assert experiments.resolve(everything, name).recipe.lr == 0.001


def test_epochs_replace_iterations(tmp_path):
    assert resolve(REAL, "plain-20-cifar10-he2015", tmp_path).recipe.iterations == 64000
    recipe = resolve(changed("train/epochs", 3), "plain-20-cifar10-he2015", tmp_path).recipe
    assert (recipe.epochs, recipe.iterations) == (3, None)


def test_sample_caps_everything(tmp_path):
    content = changed("train/epochs", 500)
    content["scale"], content["train"]["seeds"] = "sample", 7
    everything = read(content, tmp_path)
    for name in content["experiments"]:
        experiment = experiments.resolve(everything, name)
        recipe = experiment.recipe
        assert (recipe.seeds, recipe.epochs, recipe.iterations) == (1, experiments.SAMPLE["epochs"], None)
        assert recipe.input_size <= (63 if name.startswith("alexnet-") else 32)
        assert experiment.max_images == 2 * recipe.batch_size <= 16


def test_shifts_and_squares_fit_the_images_of_a_sample(tmp_path):
    content = changed("scale", "sample")
    content["experiments"]["alexnet-cats-vs-dogs"] |= {"shift": 70, "cutout": 64}  # of 128 pixels
    recipe = experiments.resolve(read(content, tmp_path), "alexnet-cats-vs-dogs").recipe
    assert (recipe.input_size, recipe.shift, recipe.cutout) == (63, 62, 62)
    content["scale"] = "full"
    recipe = experiments.resolve(read(content, tmp_path), "alexnet-cats-vs-dogs").recipe
    assert (recipe.shift, recipe.cutout) == (70, 64)


def test_a_warm_up_in_steps_replaces_one_in_shares(tmp_path):
    content = changed("experiments/plain-56-signs32-long/warm_up_steps", 112)
    recipe = resolve(content, "plain-56-signs32-long", tmp_path).recipe
    assert (recipe.warm_up, recipe.warm_up_of(1500), recipe.warm_up_of(450)) == (0, 112, 112)


def test_a_new_option_with_its_default_changes_no_effective_recipe(tmp_path):
    before = resolve(REAL, "plain-20-signs32", tmp_path).changes()
    content = changed("experiments/plain-20-signs32/cutmix", 0)
    content["experiments"]["plain-20-signs32"]["initialisation"] = "he"
    assert resolve(content, "plain-20-signs32", tmp_path).changes() == before
    content["experiments"]["plain-20-signs32"]["seeds"] = 9
    more = resolve(content, "plain-20-signs32", tmp_path)
    assert more.changes() != before and more.one_seed() == resolve(REAL, "plain-20-signs32", tmp_path).one_seed()


def test_a_cap_never_raises_a_value(tmp_path):
    content = changed("scale", "sample")
    content["train"] |= {"epochs": 1, "batch_size": 8}
    recipe = resolve(content, "resnet34-signs", tmp_path).recipe
    assert (recipe.epochs, recipe.batch_size) == (1, 8)


def test_numbers_in_quotes_are_numbers_at_any_scale(tmp_path):
    for scale in ("full", "sample"):
        content = changed("scale", scale)
        content["train"] |= {"epochs": "1", "batch_size": "8"}
        recipe = resolve(content, "resnet34-signs", tmp_path).recipe
        assert (recipe.epochs, recipe.batch_size) == (1, 8)


def test_a_missing_key_is_named_without_the_rest(tmp_path):
    with pytest.raises(Mistake) as error:
        experiments.resolve(read(changed("recipes/vgg/lr", None), tmp_path), "vgg11-cifar100")
    assert str(error.value) == "experiments.yaml: experiments.vgg11-cifar100.lr: this key is missing"


def test_all_missing_keys_of_one_block_are_named(tmp_path):
    content = changed("experiments/plain-20-signs32", {"dataset": "signs", "model": "resnet", "recipe": "signs32"})
    with pytest.raises(Mistake) as error:
        experiments.resolve(read(content, tmp_path), "plain-20-signs32")
    said = "experiments.yaml: experiments.plain-20-signs32.depth: this key is missing, and so is shortcut"
    assert str(error.value) == said


def test_a_network_that_is_not_complete(tmp_path, monkeypatch):
    everything = read(changed("experiments/plain-20-signs32/model", "tiny"), tmp_path)
    monkeypatch.setattr(experiments, "NETWORKS", ("tiny",))
    with pytest.raises(
        Mistake, match=r"^src/lineage/options/tiny.py is missing: docs/extending.md says what a network"
    ):
        experiments.resolve(everything, "plain-20-signs32")
    everything = read(REAL, tmp_path)
    monkeypatch.setattr(experiments, "NETWORKS", ("resnet",))
    for other in (experiments.NetworkOptions, params.Sweep):  # neither has a `smallest`
        monkeypatch.setattr(experiments, "options_of", lambda _, other=other: other)
        with pytest.raises(
            Mistake, match=r"^src/lineage/options/resnet.py needs a class Options with `smallest`: docs"
        ):
            experiments.resolve(everything, "plain-20-signs32")
    monkeypatch.setattr(experiments, "options_of", lambda _: experiments.Options)  # an AttributeError, as of a module
    with pytest.raises(Mistake, match="needs a class Options with `smallest`"):
        experiments.resolve(everything, "plain-20-signs32")
    monkeypatch.setattr(
        experiments, "options_of", lambda _: experiments.Other
    )  # any other fault is that of the user's own code
    with pytest.raises(AttributeError, match="Other"):
        experiments.resolve(everything, "plain-20-signs32")
