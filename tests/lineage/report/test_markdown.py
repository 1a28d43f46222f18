import math
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from lineage.report import markdown


def test_tables_are_markdown():
    assert markdown.table("a | b", "l r", [("x", 1)]) == ["| a | b |", "| --- | ---: |", "| x | 1 |", ""]
    assert markdown.table("a", "l", [("x | y",)])[2] == r"| x \| y |"  # one cell


def test_mean_and_deviation_in_per_cent():
    assert markdown.percent(pd.Series([0.5, 0.52])) == "51.00 ± 1.41"
    assert markdown.percent(pd.Series([0.5])) == "50.00"


def test_a_figure_is_saved_and_shown(workspace):
    lines = markdown.figure(Path("plots/figures"), "sample", plt.figure(), "a.svg", "what it shows")
    assert lines == ["![what it shows](../plots/figures/a.svg)", ""]
    assert "scale: sample" in Path("plots/figures/a.svg").read_text()


def test_a_page_says_its_scale():
    assert markdown.head("Results", "full")[0] == "# Results"
    assert not any("not results" in line for line in markdown.head("Results", "full"))
    assert any("not results" in line for line in markdown.head("Results", "sample"))


def test_what_the_reader_opens_and_where_a_name_leads():
    assert markdown.details("More", ["a", ""]) == [
        "<details>",
        "<summary>More</summary>",
        "",
        "a",
        "",
        "</details>",
        "",
    ]
    assert markdown.link("plain-20-signs32") == "[plain-20-signs32](experiments.md#plain-20-signs32)"
    assert markdown.link("tiny-lr-0.05") == "[tiny-lr-0.05](experiments.md#tiny-lr-005)"  # as GitHub has the heading


@pytest.mark.parametrize(
    ("found", "unit", "text"),
    [
        ((1.5, 1.0, 2.0), "pp", "+1.50 pp (+1.00 … +2.00)"),
        ((1.5, -math.inf, math.inf), "pp", "+1.50 pp"),
        ((3.0, 3.0, math.inf), "epochs", "at least +3.00 epochs"),
        ((math.log(1310), math.log(2), math.log(8e6)), "×", "× 1,310 (2 … 8,000,000)"),
        ((0.0, -math.inf, math.inf), "×", "× 1"),
        ((-1e-16, -2.2, 2.2), "pp", "+0.00 pp (-2.20 … +2.20)"),
    ],
)
def test_differences_in_words(found, unit, text):
    assert markdown.difference_text(found, unit) == text


def test_the_ends_of_a_range():
    assert [markdown.span(pd.Series(values)) for values in ((3, 1, 2), (2, 2), ())] == ["1 … 3", "2", ""]
    assert markdown.span(pd.Series([float("nan"), 1, 2])) == "1 … 2"


def test_only_the_first_letter_becomes_a_capital():
    assert markdown.capitalised("plain ResNets") == "Plain ResNets" and markdown.capitalised("") == ""


def test_a_table_of_many_rows_is_folded():
    few, many = (markdown.long_table("Everything", "a | b", "l r", [(1, 2)] * n) for n in (20, 21))
    assert few == markdown.table("a | b", "l r", [(1, 2)] * 20)
    assert many[:2] == ["<details>", "<summary>Everything (21 rows)</summary>"] and many[3:-2] == [
        few[0],
        few[1],
        *few[2:3] * 21,
        "",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2345, "0.23"),
        (98.7, "99"),
        (99.4, "99"),
        (99.6, "100"),
        (145.2, "145"),
        (573_000, "570,000"),
        (2.1e7, "2.1e+07"),
    ],
)
def test_digits(value, text):
    assert markdown.digits(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (999.4, "999"), (999.7, "1,000"), (1_234_567, "1,230,000"), (2e8, "2e+08")]
)
def test_digits_of_a_ratio(value, text):
    assert markdown.ratio_digits(value) == text


def test_a_numbered_item_lists_what_it_rests_on():
    assert markdown.listed("Depth hurts.", ["a", "b"]) == "Depth hurts.\n    - a\n    - b"
    assert markdown.listed("Depth hurts.", ["a"]) == "Depth hurts. a"
    assert markdown.listed("Depth hurts.", []) == "Depth hurts."


def test_a_list_in_a_sentence():
    assert [markdown.enumerated(list("abc")[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
