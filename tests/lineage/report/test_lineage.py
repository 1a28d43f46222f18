from test_compare import card, measured, write_table

from lineage.report import lineage, results


def test_ours_stands_beside_the_published_in_historical_order(workspace):
    names = ("resnet34-signs", "vgg16-cifar100", "lenet5-cifar10", "residual-vgg-cifar10")
    for name in names:
        measured(name, recipe={"precision": "fp32", "grow": {16: 0.5}} if name == "vgg16-cifar100" else {})
    write_table("tables/vgg16-cifar100/ensemble", [{"part": p, "top1": t} for p, t in (("val", 0.9), ("test", 0.912))])
    lines = lineage.section({name: results.read(name) for name in names}, None)
    rows = [line for line in lines if line.startswith(("| 1", "| 2"))]
    assert [row.split(" | ")[1] for row in rows] == ["LeNet-5", "VGG", "S0's residual VGG", "ResNet"]
    assert "16 to 32 px |" in rows[1] and " 32 px |" in rows[0] and " to " not in rows[0]
    assert "| 89.00 ± 1.41 | 2 | 91.20 | 3 epochs, float32 | 75 after 20 epochs (S2) | 74.94 (" in rows[1]
    assert "| 89.00 ± 1.41 | 2 |  | 3 epochs, bfloat16 |" in rows[0]  # measured before the seeds were asked together
    assert rows[2].endswith("| no number |  |")  # nobody has looked for one
    assert rows[3].endswith("| no number | none found |")
    (waiting,) = [line for line in lines if line.startswith("Not run yet: ")]
    assert card("resnet50-signs") in waiting and card("lenet5-cifar10") not in waiting
    lines = lineage.section({"resnet34-signs": results.read("resnet34-signs")}, None)
    header = next(line for line in lines if line.startswith("| year"))
    assert header == "| year | network | experiment | data | ours | n | budget |"  # what says nothing in any row is out
    assert lineage.section({}, None) == []
