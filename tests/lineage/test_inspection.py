import numpy as np
import pandas as pd
import pytest
import torch

from lineage import anatomy, inspection, models
from lineage.engine.augment import Images
from lineage.engine.training import predict
from lineage.options import options_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photographs(signs):
    """200 real images in two parts, at 32 pixels."""
    parts = {}
    for part, first in (("train", 0), ("val", 1)):
        chosen = np.linspace(first, len(signs["labels"]) - 2 + first, 150 if part == "train" else 50).astype(int)
        pixels = torch.from_numpy(np.ascontiguousarray(signs["images"][chosen].transpose(0, 3, 1, 2)))
        labels = torch.from_numpy(signs["labels"][chosen].astype(np.int64))
        parts[part] = Images(pixels, labels, torch.full((3,), 0.5), torch.full((3,), 0.25), 32, CPU)
    return parts


def build(model, **options):
    torch.manual_seed(0)
    return models.build(model, 6, 32, options_of(model)(**options))


@pytest.fixture
def written(tmp_path, photographs):
    """A function that writes the tables of a network, and of another one as it begins, and reads them."""

    def write(network, begun):
        inspection.write_inside(network, begun, photographs, "fp32", tmp_path)
        return {path.stem: pd.read_csv(path) for path in tmp_path.glob("*.csv")}

    return write


def test_few_images_are_evenly_chosen(photographs):
    few = inspection.few(photographs["train"], 4)
    assert len(few) == len(few.labels) == 4
    assert torch.equal(few.pixels, photographs["train"].pixels[[0, 50, 99, 149]])
    assert torch.equal(few.labels, photographs["train"].labels[[0, 50, 99, 149]])
    assert len(inspection.few(photographs["train"], 1000)) == len(photographs["train"]) == 150


def test_the_untrained_network_is_measured_with_statistics_of_its_own(written, photographs):
    begun, trained = build("resnet", depth=8, shortcut="identity"), build("resnet", depth=8, shortcut="identity")
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1.5)
    tables = written(trained, begun)
    for table in ("layers", "blocks"):
        assert list(tables[f"untrained-{table}"]) == list(tables[table])
    assert (tables["layers"].weight / tables["untrained-layers"].weight).tolist() == pytest.approx([1.5] * 8, rel=1e-4)
    # after batch norm, with statistics of these images, the deviation is 1, whatever the layer
    assert tables["untrained-layers"].response[:-1].tolist() == pytest.approx([1] * 7, abs=0.05)
    assert (tables["layers"].response[:-1] - 1).abs().max() > 0.2
    assert tables["untrained-blocks"].addition.between(0.1, 3).all()


def test_lesions_of_the_trained_and_of_the_untrained_network(written, photographs):
    trained = anatomy.re_estimated(build("resnet", depth=8, shortcut="identity"), [torch.randn(64, 3, 32, 32) * 3])
    table = written(trained, build("resnet", depth=8, shortcut="identity"))["lesions"]
    assert table.groupby(["trained", "statistics"]).block.apply(list).map(len).tolist() == [4] * 4
    rows = table.set_index(["trained", "block", "statistics"]).sort_index()
    # the untrained network has no statistics but those that are estimated
    begun = rows.loc["no", "intact"]
    assert begun.val_error["kept"] == begun.val_error["re-estimated"]
    val = photographs["val"]
    wrong = (predict(trained, val, "fp32").argmax(1) != val.labels).double().mean().item()
    assert rows.val_error["yes", "intact", "kept"] == pytest.approx(wrong, abs=1e-5)
    removed = table[table.block != "intact"].set_index(["trained", "block"]).correlation
    assert removed.between(-1, 0.999).all()
    assert (removed.groupby(level=[0, 1]).nunique().loc["yes"] == 2).all()  # the statistics matter


def test_at_most_so_many_blocks_of_the_untrained_network(written, monkeypatch):
    monkeypatch.setattr(inspection, "UNTRAINED_LESIONS", 2)
    network = build("resnet", depth=14, shortcut="identity")
    table = written(network, network)["lesions"]
    assert table[table.trained == "yes"].block.nunique() == 7
    assert table[table.trained == "no"].block.unique().tolist() == ["intact", "stages.0.0", "stages.2.1"]


def test_statistics_that_lag_behind_are_told_from_a_bad_network(written, photographs):
    """A network whose running statistics are not those of its images is wrong with them alone."""
    torch.manual_seed(1)
    network = build("resnet", depth=8, shortcut="identity")
    optimiser = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    train = photographs["train"]
    for _ in range(12):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network.train()(train.plain(0, 150)), train.labels).backward()
        optimiser.step()
    for module in anatomy.batch_norms(network):
        module.running_mean.add_(2)
    table = written(network, network)["batch-norm"].set_index(["part", "statistics"])
    assert table.top1["train", "re-estimated"] > table.top1["train", "kept"] + 0.2
    kept = (predict(network, photographs["val"], "fp32").argmax(1) == photographs["val"].labels).double().mean()
    assert table.top1["val", "kept"] == pytest.approx(kept.item(), abs=1e-5)


def test_response_normalisation_divides_by_what_differs_from_place_to_place(written):
    """With an alpha that does not fit the scale of the inputs it would divide by a constant, and do nothing."""
    network = build("alexnet", depth=4, normalisation="lrn")
    tables = written(network, network)
    assert set(tables) == {"layers", "untrained-layers", "lrn", "untrained-lrn"}
    spread = tables["untrained-lrn"].set_index("layer")
    assert list(spread.index) == ["features.3", "features.7"]
    assert (spread.p95 > 1.1 * spread.p05).all()
    assert (spread["min"] >= 2**0.75 - 1e-4).all()
    assert (spread.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)


def test_the_sample_removes_few_blocks(photographs, tmp_path):
    network = build("resnet", depth=14, shortcut="identity")
    inspection.write_inside(network, network, photographs, "fp32", tmp_path, most=2)
    table = pd.read_csv(tmp_path / "lesions.csv")
    for _, rows in table.groupby("trained"):
        assert rows.block.unique().tolist() == ["intact", "stages.0.0", "stages.2.1"]


def test_statistics_are_re_estimated_from_training_images(written, photographs):
    seen = [torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 3]
    network = anatomy.re_estimated(build("resnet", depth=8, shortcut="identity"), seen)
    table = written(network, network)["batch-norm"].set_index(["part", "statistics"])
    fresh = anatomy.re_estimated(network, anatomy.batches(photographs["train"]))
    for part, images in photographs.items():
        logits = predict(fresh, images, "fp32").double()
        loss = torch.nn.functional.cross_entropy(logits, images.labels).item()
        assert table.loss[part, "re-estimated"] == pytest.approx(loss, rel=1e-4)
