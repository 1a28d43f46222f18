import subprocess
import sys

import pytest
import torch
from conftest import REPOSITORY, one_line

sys.path.append(str(REPOSITORY / "bench"))
import activations

CPU = torch.device("cpu")


def bench(*arguments):
    command = [sys.executable, REPOSITORY / "bench/activations.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_both_comparisons_are_printed_in_multiples_of_relu():
    result = bench("--repeats", "2", "--steps", "1", "--threads", "1")
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("  ")]
    assert [row[0] for row in rows] == ["relu", "tanh", "sigmoid"] * 2
    assert [row[3] for row in rows if row[0] == "relu"] == ["1.00", "1.00"]
    assert all(float(row[1]) > 0 for row in rows)


def test_a_mistake_is_one_line():
    assert "--repeats, --steps and --threads" in one_line(bench("--steps", "0"), 2)
    assert "more than this machine has cores" in one_line(bench("--threads", "100000"), 2)


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_the_networks_activation_is_the_one_that_is_named(name, monkeypatch):
    built, build = [], activations.models.build
    monkeypatch.setattr(activations.models, "build", lambda *a: built.append(build(*a)) or built[-1])
    step = activations.in_a_network(name, CPU)
    before = [p.detach().clone() for p in built[0].parameters()]
    step()
    kinds = {type(module).__name__.lower() for module in built[0].modules()}
    assert name in kinds and not kinds & (activations.ACTIVATIONS.keys() - {name})
    assert any(not torch.equal(a, b) for a, b in zip(before, built[0].parameters(), strict=True))
