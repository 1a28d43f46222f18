"""docs/exercises.md: its commands run, and what it says we found is what is recorded."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY, content, make_study, parameters

PAGE = (REPOSITORY / "docs/exercises.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(.+?)```", PAGE, re.S)


def table(path):
    return pd.read_csv(io.BytesIO(content(path)))


def errors(name):
    """By split, in per cent, seed by seed."""
    scores = table(f"plots/tables/{name}/scores.csv")
    return {part: 100 * (1 - some.top1) for part, some in scores.groupby("part")}


def said(found):
    return f"{found.mean():.2f} ± {found.std():.2f}"


def shell(commands):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    names = {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    result = subprocess.run(
        ["bash", "-euc", commands], capture_output=True, text=True, env=os.environ | names | {"PATH": path}
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_every_target_is_an_experiment():
    experiments = yaml.safe_load((REPOSITORY / "experiments.yaml").read_text())["experiments"]
    targets = [target for block in COMMANDS for target in re.findall(r"(?:train|evaluate)@\S+", block)]
    assert len(targets) == 3
    for name in shell("printf '%s\\n' " + " ".join(targets)).split():
        assert name.split("@")[1] in experiments


def test_the_numbers_are_the_recorded_ones():
    rows = re.findall(r"^\| ((?:plain|resnet)-\S+) \| (.+) \| (.+) \|$", PAGE, re.M)
    assert [name for name, _, _ in rows] == [
        *("plain-20-signs32", "plain-56-signs32", "resnet-56-signs32"),
        *("plain-110-signs32", "plain-110-signs32-dirac"),
    ]
    for name, train, other in rows:
        found = errors(name)
        assert train == said(found["train"]), name
        started = f"{(found['train'] < 80 * 5 / 6).sum()} of {len(found['train'])}"
        assert other == (started if "110" in name else said(found["test"])), name
    sweep = table("plots/tables/sweep.csv")
    first = sweep[(sweep.start == "he") & (sweep.depth == 56) & (sweep.seed == 0)].set_index("lr").val_loss
    assert f"is {first[0.1]:.2f}, {first[0.03]:.2f} and {first[0.01]:.2f} with 0.1, 0.03 and 0.01" in PAGE
    low = {depth: said(errors(f"plain-{depth}-signs32-low-lr")["train"]) for depth in (20, 56)}
    assert f"error is {low[56]} %, that of 20 layers {low[20]} %" in " ".join(PAGE.split())


def test_the_snippet_prints_what_the_page_says(workspace, capsys):
    (snippet,) = re.findall(r"```python\n(.+?)```", PAGE, re.S)
    Path("plots").mkdir()
    Path("plots/gradients.csv").write_bytes(content("plots/gradients.csv"))
    exec(snippet, {})
    assert f"```\n{capsys.readouterr().out}```" in PAGE


@pytest.mark.slow
def test_the_commands_run(tmp_path, monkeypatch):
    """At scale sample; the queue is in test_workflows.py."""
    names = ["plain-20-signs32", "plain-56-signs32", "resnet-56-signs32", "plain-110-signs32"]
    names.append("plain-110-signs32-dirac")
    experiments = parameters()["experiments"]
    monkeypatch.chdir(make_study(tmp_path, {name: experiments[name] for name in names}, ["signs"]))
    shell("dvc repro -q recipes && git add -A && git commit -qm 'with dvc.lock, as in a clone'")
    branch, first, _, fourth = COMMANDS
    shell(branch + first)
    for name in names[:3]:
        assert json.loads(Path(f"metrics/experiments/{name}.json").read_text()).keys() >= {"train_top1", "test_top1"}
    assert yaml.safe_load(Path("params.yaml").read_text())["train"]["seeds"] == 2
    shell(fourth)
    for name in names[3:]:
        assert "val_top1" in json.loads(Path(f"metrics/validation/{name}.json").read_text())
    (back,) = re.findall(r"The way back is `(.+?)`", PAGE)
    shell(back)
    assert yaml.safe_load(Path("params.yaml").read_text())["train"]["seeds"] is None
    assert shell("git status --short; git branch --show-current") == "main\n"
