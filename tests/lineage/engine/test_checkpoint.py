import hashlib
import pickle
import types
from pathlib import Path

import pytest
import torch
from conftest import sha256
from torch import nn

from lineage.engine import checkpoint
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
        assert checkpoint.load_state(path) is None
        assert "is damaged: set aside as seed-0.damaged" in capsys.readouterr().out
        assert not path.exists()
        assert path.with_suffix(".damaged").read_bytes() == content


def test_the_key_depends_on_recipe_data_code_and_threads(workspace):
    data = [Path("train.safetensors"), Path("val.safetensors")]
    for path in data:
        path.write_bytes(b"images")
    cpu, experiment = torch.device("cpu"), {"recipe": {"lr": 0.1}}
    key = checkpoint.key(experiment, data, cpu, 2)
    assert key == checkpoint.key({"recipe": {"lr": 0.1}}, data, cpu, 2)
    others = {checkpoint.key({"recipe": {"lr": 0.2}}, data, cpu, 2), checkpoint.key(experiment, data, cpu, 1)}
    data[1].write_bytes(b"other images")
    others.add(checkpoint.key(experiment, data, cpu, 2))
    assert len(others | {key}) == 4


def test_the_key_depends_on_the_projects_own_code_that_is_loaded(workspace):
    own = [Path("src/lineage/engine/checkpoint.py"), Path("src/lineage/models/lenet.py"), Path("other/lib.py")]
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a = 1\n")

    def key():
        loaded = {str(i): types.SimpleNamespace(__file__=str(path.resolve())) for i, path in enumerate(own)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoint, "__file__", str(own[0].resolve()))
            patch.setattr(checkpoint, "sys", types.SimpleNamespace(modules=loaded))
            return checkpoint.key({}, [], torch.device("cpu"), 1)

    first = key()
    own[2].write_text("a = 2\n")
    assert key() == first
    own[1].write_text("a = 2\n")
    assert key() != first


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
