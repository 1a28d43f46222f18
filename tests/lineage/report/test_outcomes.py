from dataclasses import replace

import pandas as pd
import pytest
from test_agreeing import read, study  # noqa: F401 (a fixture)
from test_compare import measured

from lineage.report import outcomes

pytestmark = pytest.mark.usefixtures("study")


@pytest.mark.parametrize("change", [{"trust": 0.02}, {"clip": 1}, {"epochs": 4}, {"lr": 0.5}, {"precision": "fp32"}])
def test_another_recipe_is_not_this_network(change):
    measured("plain-20", (0.0, 0.1), network={"depth": 20}, recipe=change)
    assert outcomes.outcome(read("plain-20"), "plain", 20, "batch", "he") is None


def test_another_data_set_is_not_this_network():
    measured("plain-20", (0.0, 0.1), network={"depth": 20})
    found = read("plain-20")
    assert outcomes.outcome(found, "plain", 20, "batch", "he")
    other = found["plain-20"].experiment.model_copy(update={"dataset": "feet"})
    found = {"plain-20": replace(found["plain-20"], experiment=other)}
    assert outcomes.outcome(found, "plain", 20, "batch", "he") is None


def test_a_difference_of_several_seeds_that_all_started():
    well, badly = (outcomes.Outcome([True] * 3, errors, [0.1] * 3) for errors in ([0.1, 0.11, 0.12], [0.3, 0.31, 0.32]))
    assert badly.minus(well).startswith("+20.00 pp (+17.7") and (well.counted, well.error) == ("3 of 3", "11.00 ± 1.00")
    assert well._replace(losses=[0.01, 0.1, 1.0]).loss == "0.1"
    failed, single = well._replace(started=[True, False, True]), outcomes.Outcome([True], [0.1], [0.1])
    assert {badly.minus(failed), failed.minus(well), badly.minus(single), single.minus(well)} == {""}


def test_trained_at_another_scale_is_not_trained():
    table = pd.read_csv(outcomes.TRAINED)
    table.assign(scale="sample").to_csv(outcomes.TRAINED, index=False)
    assert outcomes.outcome({}, "plain", 44, "batch", "looks-linear") is None


def test_means_over_the_seeds():
    measured("plain-20", (0.0, 0.1, 0.08), network={"depth": 20})
    table = pd.read_csv(outcomes.AGREEMENT)
    table.loc[table.seed == 1, "gradient_ratio"] = 12.0
    table.to_csv(outcomes.AGREEMENT, index=False)
    found = outcomes.gathered(read("plain-20")).set_index(["family", "depth", "normalisation", "initialisation"])
    shallow, linear = found.loc["plain", 20, "batch", "he"], found.loc["plain", 44, "batch", "looks-linear"]
    assert (shallow.agreement, shallow.least, shallow.most) == pytest.approx((0.015, 0.01, 0.02))
    assert (shallow.least_ratio, shallow.most_ratio, shallow.ratio) == pytest.approx((3, 12, 6))  # geometric mean
    assert (shallow.n, shallow.started) == (3, 3)
    assert shallow.median_error == pytest.approx(4)  # the mean is 3
    assert (linear.n, linear.started, linear.median_error) == (2, 2, pytest.approx(3))
    assert linear.errors.tolist() == pytest.approx([2, 4]) and linear.losses.tolist() == [0.5, 0.5]
    assert found.loc["plain", 44, "batch", "he"].n == 0
    assert shallow.reordered == pytest.approx(0.99999 - 0.01 / 1000)  # the lowest of the seeds
    assert found.words.tolist()[3:5] == ["identity + 0.8 He", "looks linear"]
