import pandas as pd
import pytest
from test_compare import write_table

from lineage.report import gradient_growth
from lineage.report.early_gradients import TABLE


def grown(*factors, depth=38, seed=0, family="plain", noise=3.0):
    """The gradients of one draw: they grow towards the input by these factors per layer, stage by stage. The
    stem, the first layer of each stage, the last six convolutions and the last layer are out of line.
    """
    per_stage, value, values = (depth - 2) // 3, 1.0, []
    for factor in reversed(factors):
        for place in reversed(range(per_stage)):
            values.append(value * (noise if place == 0 or len(values) < 6 else 1))
            value *= factor
    gradients = [7 * value, *reversed(values), 0.1]  # stem, stages, fully connected
    about = {"family": family, "depth": depth, "initialisation": "he", "batch_norm": "yes", "seed": seed}
    return [about | {"layer": layer, "gradient": one} for layer, one in enumerate(gradients, 1)]


def test_the_growth_per_layer_of_each_stage(workspace):
    write_table("gradients", grown(1.2, 1.1, 0.9))
    (row,) = gradient_growth.growth().to_numpy().tolist()
    assert row == ["plain", 38, "he", 0, *(pytest.approx(factor) for factor in (1.2, 1.1, 0.9))]


def test_a_row_for_each_network_with_mean_and_range_of_its_draws(workspace):
    without = [row | {"batch_norm": "no"} for row in grown(3, 3, 3, depth=56)]
    write_table("gradients", grown(1.2, 1.1, 1.0) + grown(1.3, 1.1, 1.0, seed=1) + without)
    *_, row, _ = gradient_growth.section()
    assert row == "| plain-38 | He | 1.249 (1.200 … 1.300) | 1.100 (1.100 … 1.100) | 1.000 (1.000 … 1.000) |"
    assert "√(π / (π - 1)) = 1.21" in " ".join(gradient_growth.section())


def test_the_sentence_is_about_plain_networks(workspace):
    write_table("gradients", grown(1.2, 1.15, 1.1) + grown(1.19, 1.15, 1.1, depth=56) + grown(1, 1, 1, family="resnet"))
    said = "by a factor of 1.19 … 1.20 per layer in the first stage, 1.15 … 1.15 in the second and 1.10 … 1.10 in the"
    assert said in gradient_growth.sentence()


def test_nothing_where_nothing_was_measured_or_all_of_it_is_0(workspace):
    assert gradient_growth.section() == [] and gradient_growth.sentence() == ""
    write_table("gradients", grown(1.2, 1.1, 1.0))
    pd.read_csv(TABLE).assign(gradient=0.0).to_csv(TABLE, index=False)
    assert gradient_growth.section() == [] and gradient_growth.sentence() == ""
