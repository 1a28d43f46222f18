import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lineage.report import defect_costs


def write(scale="full", recipes_scale="full", train_error=0.01):
    rows = []
    for seed, (correct, reported) in enumerate([(0.10, 0.30), (0.12, 0.34), (0.08, 0.28)]):
        about = {
            "articles": "S1, S2",
            "network": "residual",
            "seed": seed,
            "correct": correct,
            "train_error": train_error,
        }
        rows.append({"defect": "no eval()"} | about | {"reported": reported, "scale": scale})
        rows.append({"defect": "best epoch"} | about | {"reported": correct - 0.01, "scale": scale})
    defect_costs.TABLE.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(defect_costs.TABLE, index=False)
    residual = {
        "model": "resnet",
        "scale": recipes_scale,
        "classes": 6,
        "recipe": {"epochs": 30},
        "network": {"depth": 20, "shortcut": "identity"},
    }
    dropout = {"model": "vgg", "scale": recipes_scale, "classes": 6, "recipe": {"epochs": 30}, "network": {"depth": 11}}
    Path("recipes").mkdir()
    Path("recipes/defects.json").write_text(json.dumps({"residual": residual, "dropout": dropout}))


def test_a_row_for_each_defect_with_the_difference_seed_by_seed(workspace):
    assert defect_costs.section({}, None) == []
    write()
    text = "\n".join(defect_costs.section({}, None))
    # differences of 20, 22 and 20: their mean, and Student's interval with two degrees of freedom
    row = "| no eval() | S1, S2 | residual | 10.00 ± 2.00 | 30.67 ± 3.06 | +20.67 pp (+17.80 … +23.54) | 3 |"
    assert f"{row} 1.00 ± 0.00 |" in text
    assert "| best epoch | S1, S2 | residual | 10.00 ± 2.00 | 9.00 ± 2.00 | -1.00 pp" in text
    assert "*residual*: ResNet of 20 layers, 30 epochs; *dropout*: VGG of 11 layers, 30 epochs." in text


def test_the_defects_that_change_the_error_are_a_finding(workspace):
    assert defect_costs.finding() == []
    write()
    (line,) = defect_costs.finding()
    opening = "**Of 2 defects of the articles, each tried alone, 1 changes the reported error; "
    assert line.startswith(f"{opening}for the other one this is not decided**")
    assert "n = 3: no eval(): +20.67 pp (+17.80 … +23.54). [" in line


def test_a_difference_that_holms_correction_does_not_keep_is_not_told(workspace):
    write()
    runs = pd.read_csv(defect_costs.TABLE)
    weak = runs[runs.defect == "no eval()"].assign(defect="weak")
    weak["reported"] = weak.correct + np.array([0.08, 0.10, 0.16])
    assert 0.025 < stats.ttest_1samp(weak.reported - weak.correct, 0).pvalue < 0.05
    pd.concat([runs, weak]).to_csv(defect_costs.TABLE, index=False)
    (line,) = defect_costs.finding()
    assert "Of 3 defects" in line and "1 changes" in line and "weak" not in line


def test_seeds_that_did_not_start_are_counted(workspace):
    write(train_error=0.7)
    assert "no eval(): +20.00 to +22.00 pp (3 of 3 seeds did not start to train). [" in defect_costs.finding()[0]
    assert "| +20.00 to +22.00 pp (3 of 3 seeds did not start to train) | 3 |" in "\n".join(
        defect_costs.section({}, None)
    )


def test_a_table_of_another_scale_is_not_shown(workspace):
    write("sample")
    assert defect_costs.section({}, None) == [] and defect_costs.finding() == []


@pytest.mark.parametrize(
    ("model", "network", "recipe", "words"),
    [
        ("resnet", {"depth": 20, "shortcut": "identity"}, {"epochs": 30}, "ResNet of 20 layers, 30 epochs"),
        ("resnet", {"depth": 34, "shortcut": "projection"}, {"epochs": 1}, "ResNet of 34 layers, 1 epoch"),
        ("resnet", {"depth": 20, "shortcut": "none"}, {"epochs": 30}, "plain network of 20 layers, 30 epochs"),
        ("vgg", {"depth": 11}, {"iterations": 64000}, "VGG of 11 layers, 64,000 steps"),
        ("residual_vgg", {"shortcut": "none"}, {"epochs": 10}, "plain VGG, 10 epochs"),
        ("lenet", {}, {"epochs": 10}, "LeNet-5, 10 epochs"),
    ],
)
def test_networks_in_words(model, network, recipe, words):
    assert defect_costs.described({"model": model, "network": network, "recipe": recipe}) == words
