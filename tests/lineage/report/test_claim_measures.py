import math

import pytest
from test_claims import result

from lineage.report import claim_measures


def test_epochs_to_a_quarter_between_two_epochs():
    """0.5 after the first epoch and 0.2 after the second: five sixths of the way."""
    assert claim_measures.epochs(result()).tolist() == pytest.approx([1 + 5 / 6, 1, math.inf])
    exactly = result(by_seed={0: [0.5, 0.25, 0.1], 3: [0.9, 0.9, 0.26]})
    assert claim_measures.epochs(exactly).tolist() == [2, math.inf]


def test_errors_are_in_per_cent():
    one = result(test=(0.1, 0.2), train=(0.0, 0.1))
    assert claim_measures.test_error(one).tolist() == pytest.approx([10, 20])
    assert claim_measures.train_error(one).tolist() == pytest.approx([0, 10])
    assert claim_measures.gap(one).tolist() == pytest.approx([10, 10])
    assert claim_measures.MEASURES["test_accuracy"].of(one).tolist() == pytest.approx([90, 80])
