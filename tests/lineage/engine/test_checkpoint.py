import errno
import hashlib
import pickle
import shutil
import tracemalloc
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY, sha256
from safetensors.torch import save_file
from torch import nn

from lineage import files
from lineage.engine import checkpoint
from lineage.engine.experiment import Experiment
from lineage.engine.recipe import Recipe
from lineage.errors import Failure, Mistake


def test_weights_come_back_and_give_the_same_bytes(workspace):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    path = Path("models/mine/seed-0.safetensors")
    checkpoint.save(path, network.state_dict(), {"scale": "full", "seed": 0})
    first = sha256(path)
    checkpoint.save(path, network.state_dict(), {"scale": "full", "seed": 0})
    assert sha256(path) == first
    weights, about = checkpoint.load(path)
    assert about == {"scale": "full", "seed": 0}
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in network.state_dict().items())
    assert list(path.parent.iterdir()) == [path]


def test_missing_damaged_and_pickled_weights_are_refused(workspace):
    path = Path("models/mine/seed-0.safetensors")
    with pytest.raises(Mistake, match="run `dvc repro train@mine` first"):
        checkpoint.load(path)
    path.parent.mkdir(parents=True)
    for content in (b"", b"rubbish", pickle.dumps({"weight": 1})):
        path.write_bytes(content)
        with pytest.raises(Failure, match="is damaged"):
            checkpoint.load(path)
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": torch.ones(2)}, path, metadata)
        with pytest.raises(Failure, match="was not written by this project"):
            checkpoint.load(path)


def test_a_state_comes_back_and_a_flipped_bit_is_noticed(workspace, capsys):
    path, state = Path("runs/mine/seed-0.state"), {"a/b": torch.randn(3, 4), "step": torch.tensor(7)}
    assert checkpoint.load_state(path) is None
    checkpoint.save_state(path, state, {"history": [{"loss": float("nan"), "lr": 0.1}], "name": "Größe"})
    found, about = checkpoint.load_state(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    assert about["history"][0]["lr"] == 0.1 and about["name"] == "Größe"
    assert capsys.readouterr().out == ""
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:200], b"", whole[:-9] + bytes([whole[-9] ^ 4]) + whole[-8:]):
        path.write_bytes(content)
        said = []
        assert checkpoint.load_state(path, said.append) is None
        assert said == [f"{path} is damaged: set aside as seed-0.damaged, training starts over"]
        assert not path.exists()
        assert path.with_suffix(".damaged").read_bytes() == content


def test_what_a_checkpoint_needs_of_memory_is_no_copy_of_it(workspace):
    state = {str(i): torch.randn(1_000_000) for i in range(16)}
    path = Path("seed-0.state")
    tracemalloc.start()  # which sees what NumPy and bytes take
    try:
        checkpoint.save_state(path, state, {})
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 3
    finally:
        tracemalloc.stop()


def test_tensors_of_every_kind_come_back_from_a_state(workspace):
    state = {
        "last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "half": torch.randn(5).half(),
        "bool": torch.tensor([True, False]),
        "none": torch.empty(0, 3),
        "gradient": torch.randn(3, requires_grad=True),
    }
    checkpoint.save_state(Path("a.state"), state, {})
    found, _ = checkpoint.load_state(Path("a.state"))
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor.detach()), name


def test_a_full_disk_leaves_the_state_before(workspace, monkeypatch):
    path = Path("seed-0.state")
    checkpoint.save_state(path, {"a": torch.ones(3)}, {})
    whole = path.read_bytes()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.np, "save", full)
    with pytest.raises(OSError) as error:
        checkpoint.save_state(path, {"a": torch.zeros(3)}, {})
    assert error.value.filename == str(path)
    assert path.read_bytes() == whole and list(Path().iterdir()) == [path]


@pytest.mark.parametrize(("text", "seconds"), [(None, 30), ("0", 0), ("2.5", 2.5), ("soon", None), ("-1", None)])
def test_the_time_between_checkpoints(monkeypatch, text, seconds):
    monkeypatch.delenv("CHECKPOINT_SECONDS", raising=False)
    if text is not None:
        monkeypatch.setenv("CHECKPOINT_SECONDS", text)
    if seconds is None:
        with pytest.raises(Mistake, match="CHECKPOINT_SECONDS should be a number"):
            checkpoint.seconds_between()
    else:
        assert checkpoint.seconds_between() == seconds


@pytest.fixture
def project(workspace, monkeypatch):
    """A copy of the code beside data of its own."""
    shutil.copytree(REPOSITORY / "src", "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "dvc.yaml", "dvc.yaml")
    for part in ("train", "val", "test"):
        files.write_text(Path(f"data/tensors/grey/{part}.safetensors"), "images")
    monkeypatch.setattr(checkpoint, "SOURCE", workspace / "src")


def key(device, **recipe):
    values = {"epochs": 3, "batch_size": 16, "lr": 0.1, "schedule": "onecycle", "input_size": 32}
    about = {"name": "mine", "scale": "full", "dataset": "grey", "classes": 3, "model": "lenet", "network": {}}
    return checkpoint.key(Experiment.model_validate(about | {"recipe": values | recipe}), device)


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [(torch, "__version__", "0"), (torch.backends.cpu, "get_cpu_capability", lambda: "none")],
)
def test_the_key_depends_on_the_versions(project, monkeypatch, owner, name, value):
    first = key(torch.device("cpu"))
    monkeypatch.setattr(owner, name, value)
    assert key(torch.device("cpu")) != first


def test_the_key_depends_on_what_decides_how_one_seed_is_trained(project):
    cpu = torch.device("cpu")
    first = key(cpu)
    assert first == key(cpu, seeds=5)  # more seeds: the finished ones are used again
    assert first == key(cpu, weight_decay=0.0)  # a default
    assert len({first, key(cpu, lr=0.2), key(cpu, threads=2), key(cpu, epochs=4)}) == 4
    train, test = (Path(f"data/tensors/grey/{part}.safetensors") for part in ("train", "test"))
    test.write_text("other images")
    assert key(cpu) == first
    train.write_text("other images")
    assert key(cpu) != first


@pytest.mark.parametrize(
    ("path", "matters"),
    [
        ("train.py", True),
        ("lineage/parallel.py", True),
        ("lineage/engine/augment.py", True),
        ("lineage/models/lenet.py", True),
        ("lineage/options/lenet.py", True),
        ("lineage/models/vgg.py", False),
        ("lineage/errors.py", False),
        ("lineage/progress.py", False),
        ("lineage/files.py", False),
        ("evaluate.py", False),
    ],
)
def test_the_key_depends_on_the_code_that_dvc_yaml_lists(project, path, matters):
    first = key(torch.device("cpu"))
    with Path("src", path).open("a") as file:
        file.write("# another word\n")
    assert (key(torch.device("cpu")) != first) == matters


def test_states_of_a_complete_run_stay_until_it_is_recorded(workspace):
    runs, history, lock = Path("runs/mine"), Path("mine.csv"), Path("dvc.lock")
    checkpoint.forget_recorded(runs)
    runs.mkdir(parents=True)
    history.write_text("seed,epoch\n0,1\n")
    old, other = runs / "seed-0-aaa.state", runs / "seed-0-bbb.state"
    old.touch(), other.touch()
    checkpoint.note_complete(runs, [old.name], history)
    checkpoint.forget_recorded(runs)
    lock.write_text("md5: 00000000000000000000000000000000\n")
    checkpoint.forget_recorded(runs)
    assert old.exists()
    lock.write_text(f"outs:\n- path: mine.csv\n  md5: {hashlib.md5(history.read_bytes()).hexdigest()}\n")
    checkpoint.forget_recorded(runs)
    assert list(runs.iterdir()) == [other]


@pytest.mark.parametrize("native", [True, False])
def test_versions_have_the_precision_that_the_device_computes_in(monkeypatch, native):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    plain = {"epochs": 1, "batch_size": 1, "lr": 0.1, "schedule": "constant", "input_size": 8}
    recipes = [Recipe(**plain, precision=precision) for precision in ("bf16", "fp32")]
    said = [checkpoint.versions(torch.device("cpu"), recipe)["precision"] for recipe in recipes]
    assert said == ["bf16" if native else "fp32", "fp32"]
