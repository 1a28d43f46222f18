import json
import re
from pathlib import Path

import pandas as pd
import pytest
from test_compare import measured

from lineage.errors import Mistake
from lineage.report import results


def test_an_experiment_as_it_was_measured(workspace):
    measured("resnet-20-hands", (0.1, 0.2))
    result = results.read("resnet-20-hands")
    assert result.error("test").tolist() == pytest.approx([0.1, 0.2])
    assert result.error("train").tolist() == pytest.approx([0.05, 0.1])
    assert result.budget == "3 epochs"
    assert [results.counted(number, "step") for number in ("1", 1, "64000")] == ["1 step", "1 step", "64000 steps"]
    assert result.table("blocks").addition.tolist() == [0.5, 1.5, 2.5]
    assert result.table("nothing") is None


def test_what_is_incomplete_or_of_another_recipe_has_not_run(workspace):
    measured("plain-20-hands")
    assert results.read("plain-20-hands")
    path = Path("plots/tables/plain-20-hands/layers.csv")
    content = path.read_text()
    path.unlink()
    assert results.read("plain-20-hands") is None
    path.write_text(content)
    history = Path("plots/history/plain-20-hands.csv")
    lines = history.read_text()
    history.write_text(lines.replace("full", "sample"))  # left from a run in miniature
    assert results.read("plain-20-hands") is None
    history.write_text(lines)
    assert results.read("plain-20-hands")
    recipe = Path("recipes/experiments/plain-20-hands.json")
    recipe.write_text(json.dumps(json.loads(recipe.read_text()) | {"classes": 3}))
    assert results.read("plain-20-hands") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"seed,part\n<<<<<<< HEAD\n0,test\n=======\n0,train\n>>>>>>> other\n", "has a conflict of two branches in it"),
        (b"", "is not as its stage wrote it (No columns to parse from file): `git restore scores.csv`"),
        (b"seed,part\n0\n1,2,3\n", "is not as its stage wrote it (Error tokenizing data"),
        (b"\xff\xfe\x00", "is not as its stage wrote it ('utf-8' codec"),
    ],
)
def test_a_table_that_is_none_is_one_line(workspace, content, said):
    Path("scores.csv").write_bytes(content)
    with pytest.raises(Mistake, match=re.escape(f"scores.csv {said}")):
        results.read_table(Path("scores.csv"))


def test_who_guesses_has_not_started_to_train(workspace):
    """Half of the test errors are training errors; of two classes, guessing gets half wrong."""
    measured("plain-20-hands", (0.78, 0.82, 0.98))
    result = results.read("plain-20-hands")
    assert result.started().tolist() == [True, False, False]


def test_every_seeds_answers(workspace):
    measured("plain-20-hands", (0.1, 0.2))
    assert results.read("plain-20-hands").wrong_answers() is None
    path = Path("plots/tables/plain-20-hands")
    actual = pd.read_csv(path / "predictions.csv").actual
    answers = pd.DataFrame({"predicted_0": actual, "confidence_0": 900, "predicted_1": 1 - actual, "confidence_1": 500})
    answers.to_csv(path / "answers.csv", index=False)
    wrong = results.read("plain-20-hands").wrong_answers()
    assert wrong.shape == (2, len(actual)) and not wrong[0].any() and wrong[1].all()
