from dataclasses import replace

import pytest
from test_claims import LOW, judged, result
from test_compare import card, measured

from lineage.report import claim_tables, claims, results, verdicts
from lineage.report.study import CLAIMS, PRIMARY, UNTESTED

SIGNS = [f"{family}-{depth}-signs32" for family in ("plain", "resnet") for depth in (20, 56)]
LONG = [f"{family}-{depth}-signs32-long" for family in ("plain", "resnet") for depth in (20, 56)]


@pytest.fixture
def found(workspace):
    for name in (*SIGNS, *LONG):
        measured(name, (0.3, 0.31, 0.32, 0.31) if name == "plain-56-signs32" else (0.02, 0.03, 0.02, 0.03))
    return claims.judge_all({name: results.read(name) for name in (*SIGNS, *LONG)})


def test_a_row_for_each_claim_and_a_column_for_each_group_that_has_run(found):
    lines = claim_tables.section(found)
    header = next(line for line in lines if line.startswith("| claim | claimed by"))
    assert header == "| claim | claimed by | signs32: SIGNS, 30 epochs | signs32-long: SIGNS, 100 epochs |"
    (row,) = [line for line in lines if line.startswith('| <a id="claim-plain-test">')]
    assert row.endswith("| S0 | 56 layers: **holds**, +28.50 pp | 56 layers: **does not hold**, +0.00 pp |")
    rows = [line for line in lines if line.startswith("| <a id=")]
    assert len(rows) == len({line.split('"')[1] for line in rows})


def test_the_intervals_are_behind_it_and_say_what_is_primary(found):
    lines = claim_tables.section(found)
    opened = lines[lines.index("<summary>All intervals</summary>") : lines.index("</details>")]
    pair = f"{card('plain-56-signs32')} – {card('plain-20-signs32')}"
    (primary,) = [line for line in opened if line.startswith(f"| plain-train | {pair} |")]
    assert "| 0.5 pp | 4 / 4 | Welch | " in primary and "| primary | **holds**, +14.25 pp |" in primary
    (other,) = [line for line in opened if line.startswith(f"| plain-test | {pair} |")]
    assert "| 8.3 pp | 4 / 4 | Welch | " in other and "| exploratory |" in other  # one of twelve test images


def test_a_loss_its_ratio_p_and_the_precisions_have_cells():
    """Of two networks without mistakes, in two precisions, the losses are judged."""
    lows = [result(LOW, train=0.0, loss=loss, precision=kind) for loss, kind in ((0.01, "fp32"), (0.002, "bf16"))]
    one = judged(*lows, measure="train_error")
    primary = replace(one.comparison, claim=CLAIMS["plain-train"], group="signs32", depth=56)
    both = replace(one, comparison=primary, loss=replace(one.loss, comparison=primary))
    kinds = [line.split(" | ")[7] for line in claim_tables.intervals({primary.place: both}) if " – " in line]
    assert kinds == ["primary", "exploratory"]
    assert claim_tables.words(one).endswith("float32 against bfloat16")
    upper, lower = (line.split(" | ") for line in claim_tables.intervals({one.comparison.place: one}) if " – " in line)
    assert lower[0] == "| a-b, training loss" and lower[2].startswith("× 5 (")
    assert lower[3:6] == ["× 2", "5 / 5", "Welch"] and 0 < float(lower[6]) < 1e-3 and lower[7] == "exploratory"
    assert upper[0] == "| a-b" and upper[2:4] == ["", ""] and upper[6] == ""


def test_claims_are_counted_and_what_is_open_is_named(found):
    tried = {one.comparison.claim.id for one in found.values() if one.verdict != "not run"}
    assert claim_tables.summary(found).startswith(f"{len(tried)} of {len(CLAIMS)} claims have been tried, in ")
    assert "2 of them primary, of which 2 hold or are reversed; the others are exploratory" in claim_tables.summary(
        found
    )
    place = next(place for place, one in found.items() if one.comparison.primary and one.verdict == "holds")
    one_less = found | {place: replace(found[place], verdict="not decided")}
    assert "2 of them primary, of which 1 holds or is reversed; the others" in claim_tables.summary(one_less)
    void = [one for one in found.values() if one.note == "no seed failed to start"]
    assert f"; in {len(void)} of those not decided no seed failed to start" in claim_tables.summary(found) and void
    floor = replace(found[place], verdict="at the floor", loss=one_less[place])
    said = claim_tables.summary(found | {place: floor})
    assert "at the floor 1; those at the floor by the training loss: not decided 1; in" in said
    text = "\n".join(claim_tables.section(found))
    assert f"- {CLAIMS['vgg16-75'].text} (S2;" in text and f"- {CLAIMS['plain-train'].text}" not in text
    assert all(entry.text in text for entry in UNTESTED)


def test_what_four_seeds_cannot_show_is_said():
    text, p = " ".join(claim_tables.rules().split()), verdicts.smallest_p((4, 4))
    assert "four the smallest p is 0.029, which does not pass Holm's correction for 5 comparisons" in text
    assert p == pytest.approx(2 / 70) and len(PRIMARY) == 5
    assert not any(verdicts.holm([p] * len(PRIMARY), len(PRIMARY)))


def test_without_results_only_what_is_open_is_named(workspace):
    lines = claim_tables.section(claims.judge_all({}))
    assert not [line for line in lines if line.startswith("|")]
    waiting = lines[lines.index("Not tried yet, because the experiments have not run:") :]
    assert len([line for line in waiting if line.startswith("- ")]) == len(CLAIMS) + len(UNTESTED)
    assert "### How to read a verdict" in lines  # which the page's introduction links to
