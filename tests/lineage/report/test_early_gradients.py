import math

import pandas as pd
import pytest
from test_compare import write_table

from lineage.report import early_gradients


def test_how_the_gradient_rises_from_the_last_convolution_to_the_first_layer(workspace):
    assert early_gradients.untrained().empty and early_gradients.rises("plain", 56).empty
    rows = [
        {"family": "plain", "depth": 56, "initialisation": name, "batch_norm": batch_norm, "seed": seed}
        | {"layer": layer, "gradient": value * (seed + 1) if batch_norm == "yes" else 0.0}
        for name in ("he", "framework")
        for batch_norm in ("yes", "no")
        for seed in range(2)
        for layer, value in ((3, 2.0), (1, 600.0), (2, 5.0), (4, 77.0))  # the last layer is fully connected
    ]
    write_table("gradients", rows)
    assert early_gradients.rises("plain", 56).tolist() == pytest.approx([math.log(300)] * 4)
    assert len(early_gradients.rises("plain", 56, ["he"])) == 2
    table = pd.read_csv(early_gradients.TABLE)
    table.assign(gradient=0.0).to_csv(early_gradients.TABLE, index=False)
    lost = early_gradients.rises("plain", 56)
    assert len(lost) == 4 and lost.isna().all()  # too small to be measured
