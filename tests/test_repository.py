"""What is committed: recorded at full scale, consistent with dvc.lock, and installable as it says."""

import ast
import hashlib
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY, content, recorded_errors
from scipy import stats

from lineage import lock

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")

MODELS = [path.name for path in (REPOSITORY / "src/lineage/models").glob("[a-z]*.py")]


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def committed():
    """The files of the last commit and what is in them, whatever a sample run has done to the workspace since."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a Git checkout")
    entries = git("ls-tree", "-r", "-z", "HEAD").decode().strip("\0").split("\0")
    blobs = {path: about.split()[2] for about, path in (entry.split("\t", 1) for entry in entries)}
    ids = "\n".join(blobs.values()).encode()  # all at once: a process for each takes seconds
    command = ["git", "cat-file", "--batch"]
    stream = io.BytesIO(subprocess.run(command, cwd=REPOSITORY, input=ids, capture_output=True, check=True).stdout)
    found = {}
    for path in blobs:
        size = int(stream.readline().split()[2])
        found[path] = stream.read(size)
        stream.readline()
    return found


def test_everything_committed_is_at_full_scale(committed):
    assert yaml.safe_load(content("params.yaml"))["scale"] == "full"
    lock = yaml.safe_load(content("dvc.lock"))
    assert lock["stages"]["recipes"]["params"]["params.yaml"]["scale"] == "full"
    for path in committed:
        if path.startswith(("metrics/experiments/", "metrics/validation/", "metrics/summary", "recipes/experiments/")):
            assert json.loads(committed[path])["scale"] == "full", path
        elif path.endswith("/provenance.csv"):
            assert "scale,full\n" in committed[path].decode(), path
        elif path.startswith(("plots/history/", "plots/degradation")):
            header, *lines = committed[path].decode().splitlines()
            assert header.endswith(",scale") and all(line.endswith(",full") for line in lines), path
        elif path.startswith("plots/figures/"):
            assert b"scale: full" in committed[path], path
        elif path == "docs/results.md":
            assert "not results" not in committed[path].decode()


def test_small_results_are_those_of_dvc_lock(committed):
    """Whatever a stage has written or read, as far as it is committed: tables, figures, the report."""
    stages = yaml.safe_load(content("dvc.lock"))["stages"]
    outs = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    assert {"docs/results.md", "docs/experiments.md"} <= outs.keys()
    hashes = {path: hashlib.md5(found).hexdigest() for path, found in committed.items()}

    def hashed(path):
        """As DVC does it, of a file or a folder; None where nothing of it is committed."""
        inside = {file: md5 for file, md5 in hashes.items() if file == path or file.startswith(f"{path}/")}
        return lock.hashed(path, inside, 0, path not in inside)["md5"] if inside else None

    for path, md5 in outs.items():
        if path.split("/")[0] not in ("data", "models"):  # which lie in the cache
            assert hashed(path) == md5, path
    for path in committed:
        if path.startswith(("metrics/", "plots/")):
            assert any(path == out or path.startswith(f"{out}/") for out in outs), path
    for name, stage in stages.items():
        for dep in stage.get("deps", []):
            if dep["path"].split("/")[0] in ("recipes", "metrics", "plots"):
                assert dep["md5"] == hashed(dep["path"]), (name, dep["path"])


def test_no_large_files(committed):
    for path, found in committed.items():
        assert len(found) < (3_000_000 if path.startswith("data/sample/") else 500_000), path


def test_every_requirement_is_pinned_and_every_direct_one_is_used():
    pinned = (REPOSITORY / "requirements.txt").read_text()
    lines = [line for line in pinned.splitlines() if line and not line.lstrip().startswith("#")]
    assert all(re.match(r"[a-z0-9.\-]+(\[.+\])?==[^ ]+", line) for line in lines)
    code = "\n".join(path.read_text() for folder in ("src", "tests") for path in (REPOSITORY / folder).rglob("*.py"))
    tools = {"pytest-xdist", "ruamel-yaml-clib", "ruff"}
    names = {"pillow": "PIL", "pyyaml": "yaml"}
    for line in (REPOSITORY / "requirements.in").read_text().splitlines():
        if line and not line.startswith("#"):
            name = re.match(r"[a-z0-9.\-]+", line)[0].replace(".", "-")
            assert f"\n{name}==" in pinned
            module = names.get(name, name)
            started = name in tools or f'"{name}"' in code
            assert started or re.search(rf"^\s*(import|from) {module}\b", code, re.M), name


def test_tests_of_one_group_run_in_one_process(tmp_path):
    """Otherwise each of two processes runs the same small study, which takes minutes: so with pytest 9.2.0."""
    (tmp_path / "test_group.py").write_text(
        "import os\nimport pathlib\nimport pytest\n"
        "pytestmark = pytest.mark.xdist_group('study')\n"
        "@pytest.mark.parametrize('number', range(4))\n"
        "def test_one(number):\n"
        "    pathlib.Path(f'process-{number}').write_text(str(os.getpid()))\n"
    )
    options = ["-n", "2", "--dist", "loadgroup", "-c", "/dev/null", "--rootdir", str(tmp_path), str(tmp_path)]
    options.append(f"--basetemp={tmp_path / 'temporary'}")  # or else it clears up what earlier runs have left
    subprocess.run([sys.executable, "-m", "pytest", "-q", *options], cwd=tmp_path, check=True, capture_output=True)
    processes = [path.read_text() for path in tmp_path.glob("process-*")]
    assert len(processes) == 4
    assert len(set(processes)) == 1


def test_every_test_file_has_its_source():
    for path in (REPOSITORY / "tests").rglob("test_*.py"):
        place = path.relative_to(REPOSITORY / "tests")
        root = REPOSITORY if place.parts[0] == "bench" else REPOSITORY / "src"
        source = root / place.with_name(place.name.removeprefix("test_"))
        whole = {
            "test_dvc.py": "dvc.yaml",
            "test_errata.py": "docs/errata.md",
            "test_exercises.py": "docs/exercises.md",
            "test_extending.py": "docs/extending.md",
            "test_repository.py": "README.md",
            "test_workflows.py": "docs/running.md",
            "test_cuda_path.py": "src/lineage/engine",
            "test_models.py": "src/lineage/models",
            "test_options.py": "src/lineage/options",
            "test_slurm.py": "scripts/slurm.sh",
            "test_initialisations_of_networks.py": "src/lineage/initialisations.py",  # pytest wants another name
            "test_float64_networks.py": "src/lineage/float64.py",
        }
        assert source.is_file() or (REPOSITORY / whole.get(path.name, "nothing")).exists(), path


def test_ctrl_c_is_one_line_while_a_script_loads():
    """What makes it one comes before the libraries that take their time."""
    scripts = [*(REPOSITORY / "src").glob("*.py"), *(REPOSITORY / "bench").glob("*.py")]
    checked = 0
    for path in scripts:
        text = path.read_text()
        if "\n    run(main)\n" in text:
            checked += 1
            imports = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
            modules = [node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports]
            assert next(name for name in modules if name not in ("sys", "pathlib")) == "lineage.errors", path
    assert checked > 15


def test_every_source_has_its_test_file():
    elsewhere = {  # and the file that tests them instead
        "lineage/initialisations.py": "lineage/test_initialisations_of_networks.py",  # pytest wants another name
        "lineage/float64.py": "lineage/test_float64_networks.py",
        **{f"lineage/options/{name}": "lineage/test_options.py" for name in MODELS},
        **{f"bench/{name}.py": "bench/test_throughput.py" for name in ("measure", "seeds", "task", "usual", "ways")},
    }
    sources = [path.relative_to(REPOSITORY / "src") for path in (REPOSITORY / "src").rglob("*.py")]
    sources += [path.relative_to(REPOSITORY) for path in (REPOSITORY / "bench").rglob("*.py")]
    for source in sources:
        if source.name != "__init__.py":
            test = elsewhere.get(source.as_posix(), source.with_name(f"test_{source.name}").as_posix())
            assert (REPOSITORY / "tests" / test).is_file(), source


def test_scripts_are_ready_for_ctrl_c_before_they_load_what_takes_seconds():
    slow, scripts = {"torch", "pandas", "scipy", "dvc", "PIL"}, 0
    for path in (REPOSITORY / "src").glob("*.py"):
        loads = []
        for line in ast.parse(path.read_text(encoding="utf-8")).body:
            loads += [alias.name for alias in line.names] if isinstance(line, ast.Import) else []
            loads += [line.module] if isinstance(line, ast.ImportFrom) else []
        others = [module for module in loads if module not in sys.stdlib_module_names]
        if slow & {module.split(".")[0] for module in others}:
            scripts += 1
            assert others[0] == "lineage.errors", path.name
    assert scripts > 10


def test_the_groups_of_the_documentation_are_all_experiments_once():
    page = (REPOSITORY / "docs/running.md").read_text(encoding="utf-8")
    block = next(block for block in page.split("```sh\n") if block.startswith("# the classic networks"))
    commands = [line for line in block.split("```")[0].splitlines() if line.startswith("dvc repro ")]
    script = "\n".join(command.replace("dvc repro", "printf '%s\\n'", 1) for command in commands)
    named = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()
    experiments = yaml.safe_load((REPOSITORY / "experiments.yaml").read_text())["experiments"]
    assert sorted(named) == sorted(f"evaluate@{name}" for name in experiments)


def test_the_readme_states_how_much_is_recorded_and_the_recorded_numbers(committed):
    experiments = yaml.safe_load((REPOSITORY / "experiments.yaml").read_text())["experiments"]
    recorded = [path for path in committed if path.startswith("metrics/experiments/")]
    assert f"{len(recorded)} of the {len(experiments)} experiments" in README
    rows = re.findall(r"^\|.*\| ([\d.]+)(?: ± ([\d.]+))? \| (\d) \|.*`dvc repro evaluate@(\S+)` \|$", README, re.M)
    assert len(rows) == 12
    for mean, deviation, n, name in rows:
        metrics = json.loads(content(f"metrics/experiments/{name}.json"))
        assert mean == f"{100 * metrics['test_top1']:.1f}", name
        assert (deviation or "0.0") == f"{100 * metrics.get('test_top1_std', 0):.1f}", name
        described = json.loads(content(f"plots/tables/{name}/experiment.json"))
        assert int(n) == described["recipe"].get("seeds", 1), name


def assert_said(cell, found):
    mean, _, deviation = cell.partition(" ± ")
    digits = len(mean.partition(".")[2])
    spread = f"{found.std():.{digits}f}" if len(found) > 1 else ""  # a single seed has none
    assert (mean, deviation) == (f"{found.mean():.{digits}f}", spread), cell


def test_the_readmes_errors_by_depth_are_the_recorded_ones(committed):
    rows = re.findall(r"^\| (20|56|110) \| (.+) \|$", README, re.M)
    assert [depth for depth, _ in rows] == ["20", "56", "110"]
    for depth, cells in rows:
        sides = [(family, part) for family in ("plain", "resnet") for part in ("train", "test")]
        for cell, (family, part) in zip(cells.split(" | "), sides, strict=True):
            assert_said(cell, recorded_errors(f"{family}-{depth}-signs32/scores", part=part))


PRIMARY = [  # what each row of the README's table compares, in which split
    ("plain-56-cifar10", "plain-20-cifar10", "train"),
    ("plain-56-signs32", "plain-20-signs32", "train"),
    ("plain-56-cifar10", "resnet-56-cifar10", "test"),
    ("plain-56-signs32", "resnet-56-signs32", "test"),
    ("resnet-20-cifar10", "resnet-56-cifar10", "test"),
]


def test_the_readmes_primary_comparisons_are_the_recorded_ones(committed):
    report = [line for line in content("docs/results.md").decode().splitlines() if line.endswith(" |")]
    judged = {}
    for line in report:
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 9 and cells[7] == "primary":
            sides = re.findall(r"experiments\.md#([^)]+)\)", cells[1])
            judged[(*sides, "train" if cells[0] == "plain-train" else "test")] = cells
    rows = README[README.index("| primary comparison |") :].split("\n\n")[0].splitlines()[2:]
    for row, key in zip(rows, PRIMARY, strict=True):
        what, errors, difference, p, said = (cell.strip() for cell in row.strip("|").split(" | "))
        larger, smaller, part = key
        assert f"{'CIFAR-10' if 'cifar10' in larger else 'SIGNS'}, {part}" in what
        assert ("plain against residual" in what) == (larger.startswith("plain") and smaller.startswith("resnet"))
        for cell, name in zip(errors.split(" and "), (larger, smaller), strict=True):
            assert_said(cell, recorded_errors(f"{name}/scores", part=part))
        numbers = [float(number) for number in re.findall(r"[+-]?\d+\.\d+", judged[key][2])]
        assert len(numbers) == 3
        for mine, recorded in zip(re.findall(r"-?\d+\.\d+", difference), numbers, strict=True):
            assert abs(float(mine) - recorded) < 0.51 * 0.1 ** len(mine.partition(".")[2]), row
        assert (p, said.rstrip(" ¹²³").strip("*")) == (judged[key][6], judged[key][8].split(",")[0].strip("*")), row
        assert judged[key][4] == ("4 / 4" if "cifar10" in larger else "5 / 5")
        if part == "train":  # that of a test error covers the bootstrap's, too
            deep, shallow = (recorded_errors(f"{name}/scores", part=part) for name in (larger, smaller))
            ends = stats.ttest_ind(deep, shallow, equal_var=False).confidence_interval(0.95)
            assert f"({ends.low:.1f} to {ends.high:.1f})" in difference
    apart, enough = [], " ".join(README.split())
    for larger, smaller, part in PRIMARY:
        above, below = (recorded_errors(f"{name}/scores", part=part) for name in (larger, smaller))
        assert above.min() > below.max()  # "every seed of one side is above every seed of the other"
        apart.append(2 / math.comb(len(above) + len(below), len(above)))
    assert set(apart) == {2 / 252, 2 / 70}
    assert f"the smallest p that so many seeds allow: {2 / 252:.4f} with five, {2 / 70:.3f} with four" in enough


def test_the_readmes_exploratory_numbers_are_the_recorded_ones(committed):
    text = " ".join(README.split())
    for name, part, words in (
        ("plain-56-cifar10", "test", "With 56 layers the test error is {mean:.1f} % without shortcuts"),
        ("resnet-56-cifar10", "test", "without shortcuts and {mean:.1f} % with them"),
        ("resnet-110-signs32", "train", "while residual ones end with {mean:.2f} % after 30"),
        ("fp32-resnet-110-signs32", "train", "% after 30 (in float32 with {mean:.1f} ± {std:.1f} %)"),
        ("plain-56-signs32", "train", "One of the five seeds of 56 layers has {max:.1f} %"),
        ("plain-56-signs32-long", "train", "plain networks of 56 layers is {mean:.2f} ± {std:.2f} % (n = 3)"),
        ("alexnet4-norm-lrn-cifar10", "test", "on CIFAR-10: {mean:.1f} ± {std:.1f} with it"),
        ("alexnet4-norm-none-cifar10", "test", "with it, {mean:.1f} ± {std:.1f} % without (n = 4;"),
        ("vgg16-cifar100", "test", "has a test accuracy of {right:.1f} % after 20 epochs"),
    ):
        found = recorded_errors(f"{name}/scores", part=part)
        numbers = {"mean": found.mean(), "std": found.std(), "max": found.max(), "right": 100 - found.mean()}
        assert words.format(**numbers) in text, name
    names = ("plain-56-cifar10", "plain-56-cifar10-dirac", "plain-20-cifar10", "resnet-56-cifar10")
    rows = README[README.index("| CIFAR-10, 12 epochs, n = 4 |") :].split("\n\n")[0].splitlines()[2:]
    trained = []
    for row, name in zip(rows, names, strict=True):
        found = [recorded_errors(f"{name}/scores", part=part) for part in ("train", "test")]
        cells = [f"{errors.mean():.1f} ± {errors.std():.1f}" for errors in found]
        assert row.endswith(f"| {' | '.join(cells)} |") and {len(errors) for errors in found} == {4}
        trained.append(f"{found[0].mean():.1f}")
    assert f"of 56 layers from {trained[0]} to {trained[1]} %, still above the {trained[2]} % of 20 layers" in text
    report = content("docs/results.md").decode()
    for name, words in (("relu", "needs {} epochs with ReLU"), ("tanh", "with ReLU and {} with tanh (n = 4;")):
        card = f"[alexnet4-{name}-cifar10](experiments.md#alexnet4-{name}-cifar10)"
        (needed,) = {*re.findall(re.escape(card) + r" (\d+\.\d\d ± \d\.\d\d) \(4 of 4 seeds get there\)", report)}
        assert words.format(needed) in text
    (ratio,) = re.findall(r"say six times as fast: × (\S+) \((\S+) … (\S+)\), \*\[does not hold\]", report)
    assert "{} times as many, {} to {}: faster *holds*, six times *does not hold*".format(*ratio) in text
    assert "*[holds](#claim-relu-tanh)*" in report
    (whole,) = re.findall(r"difference \+(\S+) epochs \(\S+ … \S+\), \*\[holds\]\(#claim-relu-tanh\)", report)
    (without,) = re.findall(r"Tanh has .* first seed .*Without that seed .* is \+(\S+) epochs .*: \*leans\*\.", report)
    assert f"the difference is {without} instead of {whole} epochs, less than the smallest relevant one, 1;" in text
    assert "chosen with the first seed (without that one the" in text and "faster would only *lean*)" in text
    (before,) = re.findall(r"with three seeds, test errors included \(plain (\S+), residual (\S+) %\)", report)
    assert "test errors included ({} and {} %)".format(*before) in text
    own, other = (recorded_errors("crossed", start="he", lengths=lengths) for lengths in ("he", "dirac"))
    assert other.max() < own.min() and "He's initialisation has a lower error in every seed, though none starts" in text
    assert re.search(r'id="claim-lrn-useless".*\*\*holds\*\*', report) and "calls it useless: that *holds*" in text
    (high,) = re.findall(r"until the training error is 50 %: -\S+ epochs \(-\S+ … (\S+)\)", report)
    assert float(high) < 0 and "until 50 % tanh is ahead" in text
    losses = {}
    for name in ("plain-20-signs32", "plain-56-signs32", "plain-20-signs32-long", "plain-56-signs32-long"):
        table = pd.read_csv(io.BytesIO(content(f"plots/tables/{name}/scores.csv")))
        losses[name] = np.log(table[table.part == "train"].loss)
    deep, shallow = losses["plain-56-signs32"], losses["plain-20-signs32"]
    ends = stats.ttest_ind(deep, shallow, equal_var=False).confidence_interval(0.95)
    numbers = np.exp([deep.mean() - shallow.mean(), ends.low, ends.high])
    assert "is {:.0f} times that of 20 layers ({:.0f} to {:.0f}). ² It does".format(*numbers) in text
    deep, shallow = losses["plain-56-signs32-long"], losses["plain-20-signs32-long"]
    assert stats.ttest_ind(deep, shallow, equal_var=False).confidence_interval(0.95).low > 0
    assert "though the loss probably stays higher than that of 20 layers" in text
    fall = {}
    for name in ("plain-20", "plain-56", "resnet-20", "resnet-56"):
        history = pd.read_csv(io.BytesIO(content(f"plots/history/{name}-cifar10.csv")))
        before, last = history.groupby("epoch").train_error.mean().iloc[-2:]
        fall[name] = 100 * (before - last)
    falls = f"still falls by {fall.pop('plain-56'):.1f} points in the plain networks of 56 layers, by "
    assert f"{falls}{min(fall.values()):.1f} to {max(fall.values()):.1f} in the others" in text
    gradients = pd.read_csv(io.BytesIO(content("plots/gradients.csv"))).query("family == 'plain' and depth == 110")
    gradients = gradients[gradients.batch_norm == "yes"].set_index(["initialisation", "seed", "layer"]).gradient
    rise = gradients.xs(1, level="layer") / gradients.xs(109, level="layer")  # layer 110 is the linear one
    assert len(rise) == 9
    assert f"is {rise.min() / 1e6:.1f} million to {rise.max() / 1e6:.1f} million times that in the last" in text
    defects = pd.read_csv(io.BytesIO(content("plots/tables/defects.csv"))).groupby("defect")
    for defect, words in (
        ("no eval(): one image at a time", "one at a time ({:.0f} %)"),
        ("no eval(): images sorted by class", "sorted by class ({:.0f} %)"),
        ("weights start in [0, 1]", "drawn from [0, 1] ({1:.0f} to {2:.0f} %; three of the five seeds did not start)"),
    ):
        rows = defects.get_group(defect)
        reported = 100 * rows.reported
        assert words.format(reported.mean(), reported.min(), reported.max()) in text
        assert f"of a ResNet-20, which is {100 * rows.correct.mean():.2f} % without a defect" in text


EQUALISED = {"depth": 110, "family": "plain", "chosen": "yes"}
OTHER = {"he": "dirac", "dirac": "he"}
DEEP = [  # where the numbers of each row of the README's table on plain networks of 110 layers come from
    ("plain-110-signs32/scores", {"part": "train"}),
    ("sweep", {"depth": 110, "start": "he", "lr": 0.01}),
    ("plain-110-signs32-long/scores", {"part": "train"}),
    ("float64", {"network": "plain-110"}),
    ("initialisations", {"depth": 110, "initialisation": "looks-linear"}),
    ("plain-110-signs32-dirac/scores", {"part": "train"}),
    ("equalised", EQUALISED | {"initialisation": "he"}),
    ("equalised", EQUALISED | {"initialisation": "dirac"}),
]
CROSSED = [  # and of those with a learning rate of 0.03
    ("crossed", {"start": start, "lengths": lengths}) for start in ("he", "dirac") for lengths in (start, OTHER[start])
]


@pytest.mark.parametrize(("header", "places"), [("layers |", DEEP), ("layers, learning rate 0.03 |", CROSSED)])
def test_the_readmes_deep_plain_networks_are_the_recorded_ones(committed, header, places):
    rows = README[README.index(f"| plain networks of 110 {header}") :].split("\n\n")[0].splitlines()[2:]
    for row, (place, where) in zip(rows, places, strict=True):
        _, cell, started = (text.strip() for text in row.strip("|").rsplit("|", 2))
        found = recorded_errors(place, **where)
        assert started == f"{(found < 80 * 5 / 6).sum()} of {len(found)}", row  # 80 % of guessing among six classes
        assert_said(cell, found)


def test_the_committed_report_is_that_of_the_committed_code(committed, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    deps = yaml.safe_load(content("dvc.lock"))["stages"]["compare"]["deps"]
    code = [dep for dep in deps if dep["path"].startswith("src/")]
    assert code
    commit = git("rev-parse", "HEAD").decode().strip()  # `lock` remembers HEAD, and another test may have had its own
    assert [dep["path"] for dep in code if lock.at_revision(dep["path"], commit) != dep["md5"]] == []


def anchors(text):
    """As GitHub makes them of headings, and those that are written out."""
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    plain = [re.sub(r"[^\w -]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)) for title in titles]
    return {title.lower().replace(" ", "-") for title in plain} | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize(
    "path", [Path("README.md"), *sorted(Path("docs", f.name) for f in REPOSITORY.glob("docs/*.md"))]
)
def test_every_link_leads_somewhere(path):
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith("http"):
            file, _, anchor = target.partition("#")
            there = (REPOSITORY / path.parent / file).resolve() if file else REPOSITORY / path
            assert there.exists(), target
            assert not anchor or anchor in anchors(there.read_text(encoding="utf-8")), target
