from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from test_compare import measured, write_table

from lineage import pictures
from lineage.files import write_json
from lineage.report import cards, results


def test_which_class_is_taken_for_which(workspace):
    """Three images of class 0 for class 1, and none the other way."""
    measured("vgg16-hands")
    answers = enumerate([(0, 0)] * 9 + [(0, 1)] * 3 + [(1, 1)] * 4)
    rows = [{"image": i, "actual": a, "predicted": p, "confidence": 0.97} for i, (a, p) in answers]
    write_table("tables/vgg16-hands/predictions", rows)
    write_table("tables/vgg16-hands/mistakes", rows[9:12])
    found = results.read("vgg16-hands")
    pictures.write_strip(found.folder / "mistakes.png", np.zeros((3, 8, 8, 3), np.uint8))
    drawn = cards.figures(found)
    axis = drawn["confusion-vgg16-hands.png"].axes[0]
    assert axis.images[0].get_array().tolist() == [[75, 25], [0, 100]]
    assert (axis.get_ylabel(), axis.get_xlabel()) == ("actual", "predicted")
    assert {text.get_position(): text.get_text() for text in axis.texts} == {(0, 0): "9", (1, 0): "3", (1, 1): "4"}
    assert drawn["mistakes-vgg16-hands.png"].axes[0].get_xlabel() == "zero taken for\none (97 %)"
    plt.close("all")


def test_the_facts_in_a_line(workspace):
    """Each has a value of its own."""
    measured("vgg16-hands")
    assert cards.about(results.read("vgg16-hands")) == (
        "Test accuracy 89.00 ± 1.41 % (n = 2); averaged with the mirror image (test-time augmentation) 90.10 ± 1.27 %; "
        "validation 91.20 ± 1.13 %; training 94.50 ± 0.71 %; 3 epochs; input 32 px; 1.23 M parameters; 8 M "
        "multiply-adds; trained on cpu in bfloat16; torch 2."
    )
    write_json(Path("metrics/data/hands.json"), {"train_images": 1961, "val_images": 107})
    said = cards.about(results.read("vgg16-hands"))
    assert "; validation 91.20 ± 1.13 % (107 images); training 94.50 ± 0.71 % (1,961 images); 3 epochs; " in said


def test_the_ensemble_of_all_seeds_where_they_were_asked(workspace):
    measured("vgg16-hands")
    assert "ensemble" not in cards.about(results.read("vgg16-hands"))
    write_table("tables/vgg16-hands/ensemble", [{"part": "test", "top1": 0.951}])
    said = cards.about(results.read("vgg16-hands"))
    assert said.startswith("Test accuracy 89.00 ± 1.41 % (n = 2); ensemble of all seeds 95.10 %; ")


def test_the_precision_of_the_training(workspace):
    measured("vgg16-hands")
    measured("vgg16-exact", recipe={"precision": "fp32"})
    for name, precision in (("vgg16-hands", "bfloat16"), ("vgg16-exact", "float32")):
        assert f"; trained on cpu in {precision}; torch 2." in cards.about(results.read(name))


def test_large_numbers_are_readable():
    assert cards.millions(269722) == "0.27 M"
    assert cards.millions(313.4e6) == "313 M"
    assert cards.millions(1.2534e9) == "1.25 G"
    assert cards.millions(15.47e9) == "15.5 G"
