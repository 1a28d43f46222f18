import json
from pathlib import Path

import pytest
from conftest import REPOSITORY, parameters

from lineage import shortened
from lineage.engine.experiment import Experiment
from lineage.engine.optimisation import learning_rate
from lineage.errors import Failure
from lineage.lock import Stated
from lineage.params import STAGES


def stage(script, name=""):
    return Stated([script, *([name] if name else [])], [], [], [f"{script}.out"])


@pytest.fixture
def code(workspace):
    """Scripts that write `<script>.out`, and one that fails."""
    Path("code").mkdir()
    Path("data").mkdir()
    for script, line in (
        ("one", "open('one.out', 'w').write(os.environ.get('SEEDS_AT_ONCE', 'any'))"),
        ("two", "open('two.out', 'w').write('two')"),
        ("fails", "raise SystemExit('it broke')"),
    ):
        Path("code", script).write_text(f"import os\n{line}\n")
    return Path("code")


RECIPES = {path for path in (REPOSITORY / "recipes").glob("*.json") if path.stem != "addresses"}


def test_every_stage_of_its_own_has_recipes():
    assert {path.stem for path in RECIPES} == set(STAGES)


@pytest.mark.parametrize("path", sorted(RECIPES), ids=lambda path: path.stem)
def test_every_experiment_of_a_stage_is_cut_down(path):
    def experiments(content):
        if isinstance(content, list | dict):
            if isinstance(content, dict) and "recipe" in content:
                yield content
            else:
                for one in content if isinstance(content, list) else content.values():
                    yield from experiments(one)

    whole = json.loads(path.read_text())
    before, after = list(experiments(whole)), list(experiments(shortened.shortened(whole, 32)))
    assert before and len(before) == len(after)
    for one, cut in zip(before, after, strict=True):
        assert (cut["recipe"]["epochs"], cut["recipe"]["seeds"]) == (3, 2)
        assert cut["max_images"] == 2.5 * one["recipe"]["batch_size"] < 961
        assert cut["network"]["depth"] == min(32, one["network"]["depth"])
        assert {key: one[key] for key in one.keys() - cut.keys()} == {}
        named = {key: value for key, value in cut.items() if key in Experiment.model_fields}
        Experiment.model_validate(named).build()  # a network of that depth exists


def test_the_learning_rate_of_every_recorded_experiment_rises_and_falls_or_is_constant():
    paths = list((REPOSITORY / "recipes/experiments").glob("*.json"))
    assert len(paths) == len(parameters()["experiments"])
    for path in paths:
        cut = Experiment.model_validate(shortened.shortened(json.loads(path.read_text())))
        steps, _ = cut.recipe.steps(cut.max_images)
        rates = [learning_rate(cut.recipe, step, steps) for step in range(steps)]
        assert steps == 6
        assert rates[-1] < max(rates) or cut.recipe.schedule == "constant", path.stem


def test_an_experiment_keeps_its_network_and_its_recipe():
    recipe = {"iterations": 64000, "batch_size": 128, "lr": 0.1}
    whole = {"name": "mine", "network": {"depth": 110}, "recipe": recipe}
    cut = shortened.shortened(whole)
    assert cut["network"] == {"depth": 110} and cut["max_images"] == 320
    assert cut["recipe"] == {"batch_size": 128, "lr": 0.1, "epochs": 3, "seeds": 2}
    assert whole["recipe"] is recipe and "iterations" in recipe
    labels = {"classes": ["cat", "dog"], "pictures": True}
    assert shortened.shortened(labels) == labels


def test_the_stages_of_an_experiment_run_one_after_another(code):
    stages = {f"{script}@mine": stage(script, "mine") for script in ("one", "two")}
    written = shortened.outputs(code, stages, Path("run"))
    assert written == {"one@mine": {"one.out": b"any"}, "two@mine": {"two.out": b"two"}}


def test_a_stage_of_its_own_has_its_runs_in_one_process(code):
    assert shortened.outputs(code, {"one": stage("one")}, Path("run")) == {"one": {"one.out": b"1"}}


def test_what_follows_a_failure_has_it_too(code):
    stages = {f"{script}@mine": stage(script, "mine") for script in ("one", "fails", "two")}
    written = shortened.outputs(code, stages, Path("run"))
    assert written["one@mine"] == {"one.out": b"any"}
    for name in ("fails@mine", "two@mine"):
        assert isinstance(written[name], Failure) and str(written[name]) == "fails@mine failed: it broke"


def test_a_stage_that_writes_nothing_proves_nothing(code):
    written = shortened.outputs(code, {"two": Stated(["two"], [], [], ["elsewhere"])}, Path("run"))
    assert str(written["two"]) == "two wrote none of elsewhere"


def test_what_differs_between_two_runs():
    before, after = {"a": b"1", "b": b"2", "same": b"0"}, {"a": b"3", "c": b"", "same": b"0"}
    assert shortened.different(before, after) == ["a", "b", "c"]
    assert shortened.different(after, after) == []
