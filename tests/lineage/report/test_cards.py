from lineage.report import cards


def test_large_numbers_are_readable():
    assert cards.millions(269722) == "0.27 M"
    assert cards.millions(313.4e6) == "313 M"
    assert cards.millions(1.2534e9) == "1.25 G"
    assert cards.millions(15.47e9) == "15.5 G"
