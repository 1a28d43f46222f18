from test_compare import measured, write_table

from lineage.report import cards, results


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
