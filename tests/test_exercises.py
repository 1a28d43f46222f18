"""docs/exercises.md: its commands run, and what it says we found is what is recorded."""

import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY, content, make_study, parameters, recorded_errors, shell, write_parameters
from scipy import stats

from lineage import params
from lineage.experiments import resolve
from lineage.report import comparisons
from lineage.report.entries import Claim

PAGE = (REPOSITORY / "docs/exercises.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(.+?)```", PAGE, re.S)


def table(path):
    return pd.read_csv(io.BytesIO(content(path)))


def train_errors(name):
    return recorded_errors(f"{name}/scores", part="train")


def said(found):
    return f"{found.mean():.2f} ± {found.std():.2f}"


def test_every_target_is_an_experiment():
    experiments = yaml.safe_load((REPOSITORY / "experiments.yaml").read_text())["experiments"]
    targets = [target for block in COMMANDS for target in re.findall(r"(?:train|evaluate)@\S+", block)]
    assert len(targets) == 5
    for name in shell("printf '%s\\n' " + " ".join(targets)).stdout.split():
        assert name.split("@")[1] in experiments.keys() | {"my-experiment"}


def test_the_numbers_are_the_recorded_ones():
    rows = re.findall(r"^\| ((?:plain|resnet)-\S+) \| (.+) \| (.+) \|$", PAGE, re.M)
    assert [name for name, _, _ in rows] == [
        *("plain-20-signs32", "plain-56-signs32", "resnet-56-signs32"),
        *("plain-110-signs32", "plain-110-signs32-dirac"),
    ]
    for name, train, other in rows:
        found = train_errors(name)
        assert train == said(found), name
        started = f"{(found < 80 * 5 / 6).sum()} of {len(found)}"
        assert other == (started if "110" in name else said(recorded_errors(f"{name}/scores", part="test"))), name
    page = " ".join(PAGE.split())
    few = {name: [f"{error:.1f}" for error in train_errors(name)[:2]] for name, _, _ in rows}
    assert (
        f"have training errors of {' and '.join(few['plain-56-signs32'])} % with plain-56-signs32, and of 0 %" in page
    )
    assert few["plain-20-signs32"] == few["resnet-56-signs32"] == ["0.0", "0.0"]
    usual, dirac = (" and ".join(few[f"plain-110-signs32{other}"]) for other in ("", "-dirac"))
    assert f"The first two seeds have {usual} % without it, {dirac} % with it." in page
    in_float32 = said(train_errors("fp32-plain-56-signs32"))
    assert f"error of {in_float32} % instead of {said(train_errors('plain-56-signs32'))} %" in page
    low = {depth: said(train_errors(f"plain-{depth}-signs32-low-lr")) for depth in (20, 56)}
    assert f"error is {low[56]} %, that of 20 layers {low[20]} %" in page


def test_the_numbers_of_the_stages_are_the_recorded_ones():
    page, sweep = " ".join(PAGE.split()), table("plots/tables/sweep.csv")
    by_rate = sweep[(sweep.start == "he") & (sweep.depth == 56)].set_index("seed").groupby("lr").val_loss
    losses = {rate: by_rate.get_group(rate) for rate in (0.1, 0.03, 0.01)}
    first = "{:.2f}, {:.2f} and {:.2f}".format(*(some[0] for some in losses.values()))
    assert f"With 0.1, 0.03 and 0.01 the first seed has a loss of {first}" in page
    two = {rate: f"{some[[0, 1]].mean():.2f}" for rate, some in losses.items() if len(some) > 1}
    assert f"The mean of two seeds is {two[0.1]} with 0.1 and {two[0.03]} with 0.03" in page
    ends = {rate: f"from {some.min():.2f} to {some.max():.2f} with {rate}" for rate, some in losses.items()}
    assert f"Over five seeds the loss ranges {ends[0.1]} and {ends[0.03]}" in page
    alike = recorded_errors("equalised", network="plain-110-dirac", chosen="yes")
    assert f"the Dirac initialisation ends at {said(alike)} %" in page
    defects = table("plots/tables/defects.csv")
    added = (100 * (defects.reported - defects.correct)).groupby(defects.defect)
    for defect, words in {
        "no eval(): one image at a time": "one image at a time",
        "no eval(): images sorted by class": "images sorted by class",
    }.items():
        assert f"{words} (+{added.mean()[defect]:.0f}" in page
    mixed = added.get_group("weights start in [0, 1]")  # some seeds started: a mean says little
    assert f"weights that start in [0, 1] (+{mixed.min():.0f} to +{mixed.max():.0f};" in page
    best = added.get_group("best epoch chosen on the test images")
    half = stats.sem(best) * stats.t.ppf(0.975, len(best) - 1)
    assert f"the best epoch is {best.mean() - half:.1f} to +{best.mean() + half:.1f} points" in page


def test_the_snippet_prints_what_the_page_says(workspace, capsys):
    (snippet,) = re.findall(r"```python\n(.+?)```", PAGE, re.S)
    Path("plots").mkdir()
    Path("plots/gradients.csv").write_bytes(content("plots/gradients.csv"))
    exec(snippet, {})
    assert f"```\n{capsys.readouterr().out}```" in PAGE


def test_the_claim_of_exercise_6_can_be_judged(tmp_path):
    line, entry = re.findall(r"```yaml\n(.+?)```", PAGE, re.S)
    study = parameters()
    study["experiments"] |= yaml.safe_load(line)
    write_parameters(study, tmp_path)
    everything = params.read(tmp_path)
    (claim,) = [Claim(**one) for one in yaml.safe_load(entry)]
    comparisons.check(claim)
    ((usual, mine),) = claim.pairs
    sides = [resolve(everything, name).changes() for name in (usual, mine)]
    assert sides[0]["recipe"].pop("warm_up") < sides[1]["recipe"].pop("warm_up") == 0.5
    assert sides[0]["recipe"] | {"seeds": 0} == sides[1]["recipe"] | {"seeds": 0}
    assert sides[0]["network"] == sides[1]["network"]


@pytest.mark.slow
def test_the_commands_run(tmp_path, monkeypatch):
    """Those of exercises 1 and 4, at scale sample; the queue is in test_workflows.py."""
    names = ["plain-20-signs32", "plain-56-signs32", "resnet-56-signs32", "plain-110-signs32"]
    names.append("plain-110-signs32-dirac")
    experiments = parameters()["experiments"]
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "t")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "t@t")
    monkeypatch.chdir(make_study(tmp_path, {name: experiments[name] for name in names}, ["signs"]))
    shell("dvc repro -q recipes && git add -A && git commit -qm 'with dvc.lock, as in a clone'")
    branches, first, _, fourth, _ = COMMANDS
    branch, commit = branches.splitlines()
    shell(f"{branch}\n{first}")
    for name in names[:3]:
        assert json.loads(Path(f"metrics/experiments/{name}.json").read_text()).keys() >= {"train_top1", "test_top1"}
    assert yaml.safe_load(Path("params.yaml").read_text())["train"]["seeds"] == 2
    shell(f"{commit}\n{branch.replace('exercise-1', 'exercise-4')}\n{fourth}\n{commit}")
    for name in names[3:]:
        assert "train" in set(pd.read_csv(f"plots/tables/{name}/scores.csv").part)
    assert not Path(f"metrics/experiments/{names[0]}.json").exists()  # it is on the branch of exercise 1
    shell("git switch -q main")
    assert yaml.safe_load(Path("params.yaml").read_text())["train"]["seeds"] is None
    assert shell("git status --short; git branch --show-current").stdout == "main\n"
