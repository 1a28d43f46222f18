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
            worst, loss = 0.3 if state == "trained on" else np.nan, 0.01 * 2**seed  # geometric mean 0.02
            rows.append({"seed": seed, "depth": depth, "insertion": insertion, "state": state, "train_loss": 0.01})
            rows[-1] |= {"batch_loss": loss, "train_error": error, "val_error": 0.01 + error / 2}
            rows[-1] |= {"highest_val_error": worst}
    write(deepening.DEEPENED, {"shallow": recipe(20), "deep": recipe(56)}, rows)


def test_whether_the_solution_is_kept(workspace):
    deepened({"": (0.0, 0.01, 0.0), "training": (0.01, 0.01, 0.05)})
    text = "\n".join(deepening.section({}, drawn))
    assert "| plain-20 | trained | 0.01 | 0.02 | 1.00 ± 0.00 | 1.50 ± 0.00 |  |" in text
    on = "| plain-56, exact in training | trained further | 0.01 | 0.02 | 2.33 ± 2.31 | 2.17 ± 1.15 | 30.00 ± 0.00 |"
    assert on in text and "for comparison" not in text
    assert "directly after the insertion in 1 of 3 seeds" in text and "after further training in 2." in text
    measured("plain-56-signs32", (0.2, 0.4))
    text = "\n".join(deepening.section({"plain-56-signs32": results.read("plain-56-signs32")}, drawn))
    name = "[plain-56-signs32](experiments.md#plain-56-signs32), for comparison (n = 2)"
    assert f"| {name} | 3 epochs | 0.28 |  | 15.00 ± 7.07 | 24.00 ± 11.31 |  |" in text


def test_before_it_has_run(workspace):
    assert deepening.section({}, drawn) == deepening.finding() == []


def test_the_finding(workspace):
    """It compares with the shallow network that is trained as long, and beside that with the beginning, seed by seed:
    the losses differ from seed to seed, but not their ratios.
    """
    deepened({"": (0.0, 0.0, 0.0), "training": (0.02, 0.03, 0.04)})
    table = pd.read_csv(deepening.DEEPENED, keep_default_na=False, na_values=[""])
    on, deep = table.state == "trained on", table.depth == 56
    table.loc[on & deep, "train_loss"] = [0.045, 0.1, 0.22]
    table.loc[on & ~deep, "train_loss"] = [0.01, 0.02, 0.04]
    table.loc[~on & deep, "train_loss"] = [0.005, 0.01, 0.02]

    def said(*parts):
        pd.concat(parts).to_csv(deepening.DEEPENED, index=False)
        (text,) = deepening.finding()
        return text

    who = "lain networks of 56 layers that begin as trained ones of 20"
    than = "training loss than those of 20 layers that are trained as long"
    text = said(table)
    assert text.startswith(f"**P{who} probably end with a higher {than}.** A good solution was")
    assert "of the quotient; 3 pairs cannot decide: p of an exact test cannot fall below 0.25). [More]" in text
    assert deepening.cannot(6) == "" and deepening.cannot(5) != ""
    assert "\n    - Without inserted layers the training loss ends at 0.02.\n" in text
    layers = "Layers exact in training: it ends at 0.1. Compared with no inserted layers: × 4.98 (3.88 … 6.39); with"
    assert text.endswith(f"- {layers} what it began with, 0.01: × 9.97 (7.77 … 12.8). Training error 3.00 ± 1.00 %.")
    use = table[table.insertion == "training"].assign(insertion="use")
    open_ = use.assign(train_loss=np.where(use.seed == 0, 0.02, 0.02 * use.seed))
    both = "if the inserted layers are exact in training; if they are exact in evaluation only, this is not decided"
    assert f"{than}, {both}.** A good" in said(table, open_)
    lower = use.assign(train_loss=[0.01, 0.005, 0.01, 0.011, 0.01, 0.02])
    depends = f"**Whether p{who} end with a higher or a lower {than} probably depends on the inserted layers.** A good"
    assert said(table, lower).startswith(depends)
    assert said(table[table.insertion != "training"], lower).startswith(f"**P{who} probably end with a lower {than}.**")
    table.loc[on & deep & (table.seed == 1), "train_loss"] = 0.005
    assert said(table).startswith(f"**Whether p{who} end with a higher {than} is not decided.** A good")
    text = said(table[table.seed == 0])
    assert "its own seed (exploratory; n = 1). [More]" in text
    layers = "Layers exact in training: it ends at 0.045. Compared with no inserted layers: × 4.5;"
    assert text.endswith(f"{layers} with what it began with, 0.005: × 9. Training error 2.00 %.")
