import math

import pandas as pd
import pytest
from test_claims import result

from lineage.report import claim_measures


def test_epochs_to_a_quarter_between_the_middles_of_two_epochs():
    """The mean over an epoch counts in its middle: 0.5 at 0.5 epochs and 0.2 at 1.5, so 0.25 after five sixths of that.
    Of two classes, guessing has 0.5.
    """
    assert claim_measures.epochs(result()).tolist() == pytest.approx([0.5 + 5 / 6, 0.5, math.inf])
    others = result(by_seed={0: [0.5, 0.25, 0.1], 3: [0.9, 0.9, 0.26], 5: [0.1], 6: [0.3, 0.5, 0.2, 0.4]})
    expected = [1.5, math.inf, 0.5 * 0.25 / 0.4, 1.5 + 0.25 / 0.3]  # in the first epoch; not before an error rose again
    assert claim_measures.epochs(others).tolist() == pytest.approx(expected)


def test_errors_are_in_per_cent():
    one = result(test=(0.1, 0.2), train=(0.0, 0.1))
    assert claim_measures.test_error(one).tolist() == pytest.approx([10, 20])
    assert claim_measures.train_error(one).tolist() == pytest.approx([0, 10])
    assert claim_measures.gap(one).tolist() == pytest.approx([10, 10])
    assert claim_measures.MEASURES["test_accuracy"].of(one).tolist() == pytest.approx([90, 80])


def test_chance_level_is_there_from_the_beginning():
    history = pd.DataFrame({"epoch": [1, 2], "train_error": [0.4, 0.2]})
    assert claim_measures._reached(history, 0.5, 0.5) == 0 == claim_measures._reached(history, 0.5, 0.6)
    assert claim_measures._reached(history, 0.5, 0.4) == 0.5
