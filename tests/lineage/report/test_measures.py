import math

import pytest
from test_claims import result

from lineage.report import measures


def test_epochs_to_a_quarter():
    assert measures.epochs(result()).tolist() == [2, 1, math.inf]


def test_errors_are_in_per_cent():
    one = result(test=(0.1, 0.2), train=(0.0, 0.1))
    assert measures.test_error(one).tolist() == pytest.approx([10, 20])
    assert measures.train_error(one).tolist() == pytest.approx([0, 10])
    assert measures.gap(one).tolist() == pytest.approx([10, 10])
    assert measures.MEASURES["test_accuracy"].of(one).tolist() == pytest.approx([90, 80])
