import pytest

from lineage.started import most_mistakes


def test_four_fifths_of_the_mistakes_of_one_who_guesses():
    assert most_mistakes(2) == pytest.approx(0.4) and most_mistakes(6) == pytest.approx(2 / 3)
