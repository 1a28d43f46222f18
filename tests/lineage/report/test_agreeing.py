import json
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from test_compare import measured

from lineage.engine.experiment import Experiment
from lineage.report import agreeing, outcomes, results

RECIPE = {"epochs": 3, "seeds": 2, "input_size": 32, "batch_size": 4, "lr": 1, "schedule": "steps"}


def drawn(figure, name, shows):
    plt.close(figure)
    return [f"![{shows}]({name})", ""]


def line(depth, initialisation, agreement, family="plain", normalisation="batch"):
    about = {"family": family, "depth": depth, "normalisation": normalisation, "initialisation": initialisation}
    about |= {"neighbour_error": 0.4, "layer": "stem.0", "gradient_ratio": 3.0, "scale": "full"}
    about |= {"shuffled_agreement": agreement / 10, "bf16_cosine": agreement, "fp32_cosine": 0.9}
    about |= {"reordered_cosine": 0.99999 - agreement / 1000}
    return [about | {"seed": seed, "agreement": agreement * (1 + seed)} for seed in range(2)]


@pytest.fixture
def study(workspace):
    """Two initialisations that were trained by the stage, and the agreement of these and of experiments' networks."""
    about = {"scale": "full", "dataset": "hands", "classes": 2, "model": "resnet", "recipe": RECIPE}
    recipes = {
        name: Experiment(**about, name=f"plain-44-{name}", network={"depth": 44, "shortcut": "none"}).changes()
        for name in ("random-0.8", "looks-linear")
    }
    for path in (Path("recipes"), outcomes.AGREEMENT.parent):
        path.mkdir(parents=True, exist_ok=True)
    outcomes.RECIPES.write_text(json.dumps(recipes))
    rows = line(20, "he", 0.01) + line(44, "he", 0.001) + line(44, "he", 0.02, normalisation="none")
    rows += line(44, "random-0.8", 0.0001) + line(44, "looks-linear", 0.5) + line(44, "he", 0.3, family="resnet")
    rows.append({"family": "pixels", "neighbour_error": 0.2, "scale": "full"})
    pd.DataFrame(rows).to_csv(outcomes.AGREEMENT, index=False)
    trained = [("random-0.8", 0, 0.5, "no"), ("looks-linear", 0, 0.02, "yes"), ("looks-linear", 1, 0.04, "yes")]
    table = pd.DataFrame(trained, columns=["initialisation", "seed", "train_error", "trained"])
    table.assign(depth=44, scale="full", train_loss=0.5).to_csv(outcomes.TRAINED, index=False)


def read(*names):
    return {name: results.read(name) for name in names}


def test_before_it_is_measured_at_this_scale(study):
    table = pd.read_csv(outcomes.AGREEMENT)
    table.assign(scale="sample").to_csv(outcomes.AGREEMENT, index=False)
    assert agreeing.section({}, drawn) == []
    outcomes.AGREEMENT.unlink()
    assert agreeing.section({}, drawn) == []


def test_what_was_trained_is_beside_what_was_measured(study):
    measured("plain-20", (0.0, 0.1), network={"depth": 20})
    measured("resnet-44", (0.0, 0.0), network={"depth": 44, "shortcut": "identity"})
    measured("plain-44-no-norm", (0.9, 0.9), network={"depth": 44, "normalisation": "none"}, recipe={"lr": 0.01})
    text = "\n".join(agreeing.section(read("plain-20", "resnet-44", "plain-44-no-norm"), drawn))
    rounded = "0.0010 | 0.010 | 0.900 | 0.99998 | 40 | 3 … 3 |"
    assert f"| plain, 20 layers | He | 0.0150 (0.0100 … 0.0200) | {rounded} 2 of 2 | 2.50 ± 3.54 |" in text
    rounded = "0.0001 | 0.001 | 0.900 | 0.99998 | 40 | 3 … 3 |"
    assert f"| plain, 44 layers | He | 0.0015 (0.0010 … 0.0020) | {rounded}  | not trained |" in text
    no_norm = "| plain, 44 layers, no batch norm | He | 0.0300 (0.0200 … 0.0400) | "
    no_norm += "0.0020 | 0.020 | 0.900 | 0.99997 | 40 | 3 … 3 | 0 of 2 | "
    assert no_norm + "45.00 ± 0.00 |" in text
    for about, agreed, came in (
        (
            "plain, 44 layers | identity + 0.8 He",
            "0.0002 (0.0001 … 0.0002) | 0.0000 | 0.000 | 0.900 | 0.99998",
            "0 of 1 | 50.00",
        ),
        (
            "plain, 44 layers | looks linear",
            "0.7500 (0.5000 … 1.0000) | 0.0500 | 0.500 | 0.900 | 0.99949",
            "2 of 2 | 3.00 ± 1.41",
        ),
        (
            "residual, 44 layers | He",
            "0.4500 (0.3000 … 0.6000) | 0.0300 | 0.300 | 0.900 | 0.99969",
            "2 of 2 | 0.00 ± 0.00",
        ),
    ):
        assert f"| {about} | {agreed} | 40 | 3 … 3 | {came} |" in text
    assert "of the pixels themselves: 20 %; chance level: 50 %." in text and "(agreement.svg)" in text
    # the network without batch norm agrees more than one that trains
    assert "Among the 3 of which a seed started, plain, 20 layers (He) has the lowest agreement, 0.0150" in text
    assert (
        "among the 2 of which none did, plain, 44 layers, no batch norm (He) has the highest, 0.0300. No level" in text
    )


def test_one_level_of_agreement_may_tell_them_apart(study):
    measured("plain-20", (0.0, 0.1), network={"depth": 20})
    text = "\n".join(agreeing.section(read("plain-20"), drawn))
    assert (
        "among the 1 of which none did, plain, 44 layers (identity + 0.8 He) has the highest, 0.0002. One level" in text
    )
    assert "Over the" not in text  # two initialisations have no rank correlation to speak of


def test_what_was_predicted_and_what_came(study):
    assert "Predicted" not in "".join(agreeing.section({}, drawn))  # that is of 110 layers
    for path in (outcomes.AGREEMENT, outcomes.TRAINED):
        table = pd.read_csv(path)
        table.assign(depth=table.depth.replace(44, 110)).to_csv(path, index=False)
    outcomes.RECIPES.write_text(outcomes.RECIPES.read_text().replace('"depth": 44', '"depth": 110'))
    text = "\n".join(agreeing.section({}, drawn))
    assert "Outcome: identity + 0.8 He: 0 of 1 seeds started, 1 of 1 as predicted; " in text
    assert "looks linear: 2 of 2 seeds started, 2 of 2 as predicted." in text
    table = pd.read_csv(outcomes.TRAINED)
    table.assign(trained="yes").to_csv(outcomes.TRAINED, index=False)
    assert "0.8 He: 1 of 1 seeds started, 0 of 1 as predicted; " in "\n".join(agreeing.section({}, drawn))


def test_what_the_training_error_goes_with(study):
    table = pd.read_csv(outcomes.AGREEMENT)
    table.loc[table.initialisation == "random-0.8", "gradient_ratio"] = 100.0
    table.to_csv(outcomes.AGREEMENT, index=False)
    said = agreeing.compared(outcomes.gathered({}))
    assert (
        "with ‖gradient‖ / ‖W‖ 1.00, with agreement -1.00, over 2 initialisations of plain networks of 44 layers"
        in said
    )
    assert "of which 1 differ in the share of He's weights" in said
    assert "Over the 2 trained networks with batch norm whose largest" in said
    table.loc[table.initialisation == "looks-linear", "layer"] = "head"  # which no batch norm follows
    table.to_csv(outcomes.AGREEMENT, index=False)
    assert "Over the 1 trained networks" in agreeing.compared(outcomes.gathered({}))
    assert "| 3 … 3 (last layer) | 2 of 2 |" in "\n".join(agreeing.section({}, drawn))
