from types import SimpleNamespace

import pandas as pd
from conftest import REPOSITORY

from lineage import params
from lineage.report import claims
from lineage.report.verdicts import NOT_DECIDED


def test_epochs_to_a_quarter():
    rows = [
        (0, 1, 0.5),
        (0, 2, 0.2),
        (0, 3, 0.3),
        (1, 1, 0.25),
        (1, 2, 0.2),
        (1, 3, 0.1),
        (2, 1, 0.9),
        (2, 2, 0.9),
        (2, 3, 0.9),
    ]
    history = pd.DataFrame(rows, columns=["seed", "epoch", "train_error"])
    assert claims.epochs_to_quarter(SimpleNamespace(history=history)).tolist() == [2, 1, 4]


def test_every_claim_names_experiments_that_exist():
    known = params.read(REPOSITORY / "params.yaml").experiments
    for claim in claims.CLAIMS:
        assert {claim.larger, claim.smaller} - {75.0} <= known.keys()
        assert claim.larger != claim.smaller and claim.effect >= 0


def test_a_claim_whose_runs_are_missing_is_not_decided():
    assert claims.judged(claims.CLAIMS[0], {}) == (NOT_DECIDED, None)
