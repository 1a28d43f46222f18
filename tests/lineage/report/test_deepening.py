import numpy as np
import pandas as pd
from test_compare import measured
from test_first_steps import drawn, recipe, write

from lineage.report import deepening, results


def deepened(after):
    """Three seeds; `after` training on, the training errors of the network without and with layers inserted."""
    rows = []
    for seed in range(3):
        for depth, insertion, state in (
            (20, "", "trained"),
            (20, "", "trained on"),
            (56, "training", "inserted"),
            (56, "training", "trained on"),
        ):
            error = after[insertion][seed] if state == "trained on" else 0.01
            worst = 0.3 if state == "trained on" else np.nan
            rows.append({"seed": seed, "depth": depth, "insertion": insertion, "state": state, "train_loss": 0.01})
            rows[-1] |= {"batch_loss": 0.02, "train_error": error, "val_error": error, "highest_val_error": worst}
    write(deepening.DEEPENED, {"shallow": recipe(20), "deep": recipe(56)}, rows)


def test_whether_the_solution_is_kept(workspace):
    deepened({"": (0.0, 0.0, 0.02), "training": (0.0, 0.015, 0.01)})
    text = "\n".join(deepening.section({}, drawn))
    assert "| plain-20 | trained | 0.01 | 0.02 | 1.00 ± 0.00 | 1.00 ± 0.00 |  |" in text
    on = "| plain-56, exact in training | trained further | 0.01 | 0.02 | 0.83 ± 0.76 | 0.83 ± 0.76 | 30.00 ± 0.00 |"
    assert on in text and "for comparison" not in text
    assert "directly after the insertion in 1 of 3 seeds" in text and "after further training in 1." in text
    measured("plain-56-signs32", (0.2, 0.4))
    text = "\n".join(deepening.section({"plain-56-signs32": results.read("plain-56-signs32")}, drawn))
    name = "[plain-56-signs32](experiments.md#plain-56-signs32), for comparison (n = 2)"
    assert f"| {name} | 3 epochs | 0.28 |  | 15.00 ± 7.07 | 30.00 ± 14.14 |  |" in text


def test_before_it_has_run(workspace):
    assert deepening.section({}, drawn) == deepening.finding() == []


def test_the_finding(workspace):
    deepened({"": (0.0, 0.0, 0.0), "training": (0.02, 0.03, 0.04)})
    table = pd.read_csv(deepening.DEEPENED, keep_default_na=False, na_values=[""])
    on = table.state == "trained on"
    for seed, loss in enumerate((0.09, 0.1, 0.11)):
        table.loc[on & (table.depth == 56) & (table.seed == seed), "train_loss"] = loss
    table.loc[on & (table.depth == 20), "train_loss"] = 0.001
    table.to_csv(deepening.DEEPENED, index=False)
    (said,) = deepening.finding()
    made = "lain networks of 56 layers made from trained ones of 20"
    assert said.startswith(f"**P{made} probably end with a higher training loss than they begin with.** 36 layers that")
    layers = "Layers exact in training: from 0.01 to 0.1, × 9.97 (7.77 … 12.8), training error then 3.00 ± 1.00 %."
    assert f"\n    - {layers}\n" in said
    beside = "Compared with that, seed by seed: exact in training × 99.7 (77.7 … 128)."
    assert said.endswith(f"\n    - Without inserted layers: to 0.001. {beside}")
    other = table[table.insertion == "training"].assign(insertion="use", train_loss=0.01)
    other.loc[other.seed == 0, "train_loss"] = 0.02
    pd.concat([table, other]).to_csv(deepening.DEEPENED, index=False)
    both = "if the inserted layers are exact in training; if they are exact in evaluation only, this is not decided"
    assert f"loss than they begin with, {both}.** 36" in deepening.finding()[0]
    before = other.loc[other.state == "inserted"].assign(train_loss=0.1)
    better = pd.concat([before, other[other.state != "inserted"].assign(train_loss=[0.01, 0.011, 0.012])])
    pd.concat([table, better]).to_csv(deepening.DEEPENED, index=False)
    said = f"**Whether p{made} end with a higher or a lower training loss than they begin with probably depends on the "
    assert deepening.finding()[0].startswith(f"{said}inserted layers.** 36")
    pd.concat([table[table.insertion != "training"], better]).to_csv(deepening.DEEPENED, index=False)
    assert f"P{made} probably end with a lower training loss than they begin with.** 36" in deepening.finding()[0]
    table.loc[on & (table.depth == 56) & (table.seed == 1), "train_loss"] = 0.005
    table.to_csv(deepening.DEEPENED, index=False)
    assert "end with a higher training loss than they begin with is not decided" in deepening.finding()[0]
    table[table.seed == 0].to_csv(deepening.DEEPENED, index=False)
    (said,) = deepening.finding()
    assert "before and after (n = 1). [More]" in said
    assert "Layers exact in training: from 0.01 to 0.09, × 9, training error then 2.00 %." in said
