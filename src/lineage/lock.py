"""dvc.lock: the hashes of the code that recorded each result, compared with the working tree and with Git's history."""

import hashlib
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lineage.errors import Failure, Mistake
from lineage.files import read_lock, read_yaml

IGNORED = (".DS_Store", "*.sw?", "*~", "*.orig", "*.rej")  # DVC counts no such files, because they are in .dvcignore
IGNORED_FOLDER = ".ipynb_checkpoints"
SECONDS = ("recipes", "compare")  # stages that run again within seconds


def git(*arguments: str) -> bytes:
    """What git prints. Raises `Mistake`."""
    try:
        result = subprocess.run(["git", *arguments], capture_output=True)
    except FileNotFoundError:
        raise Mistake("git is not installed, or not in PATH") from None
    if result.returncode:
        raise Mistake(f"git {' '.join(arguments[:2])}: {result.stderr.decode(errors='replace').strip()}")
    return result.stdout


@cache
def md5_of_blob(blob: str) -> str:
    return hashlib.md5(git("cat-file", "blob", blob), usedforsecurity=False).hexdigest()


@cache
def tree(revision: str) -> dict[str, str]:
    """Of each file of src/ at the revision, its blob."""
    lines = git("ls-tree", "-r", revision, "src").decode().splitlines()
    return {line.split("\t")[1]: line.split()[2] for line in lines}


def hashed(path: str, files: dict[str, str], size: int, folder: bool) -> dict[str, object]:
    """A dependency as dvc.lock has it, from the MD5 of each of its files by its path."""
    if not folder:
        return {"path": path, "hash": "md5", "md5": files[path], "size": size}
    listing = [{"md5": md5, "relpath": name.removeprefix(f"{path}/")} for name, md5 in sorted(files.items())]
    md5 = hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest()
    return {"path": path, "hash": "md5", "md5": f"{md5}.dir", "size": size, "nfiles": len(files)}


def blobs(path: str, revision: str) -> dict[str, str]:
    """Of each file of a dependency at the revision, its blob; none where it is not there."""
    return {name: blob for name, blob in tree(revision).items() if name == path or name.startswith(f"{path}/")}


def at_revision(path: str, revision: str) -> str | None:
    """The hash that a dependency has at the revision, or None where it is not there."""
    files = {name: md5_of_blob(blob) for name, blob in blobs(path, revision).items()}
    return hashed(path, files, 0, path not in files)["md5"] if files else None


def files_of(path: str, pattern: str = "*.py") -> list[Path]:
    """The file that a dependency is, or those in its folder whose names have the pattern. Raises `Failure`."""
    place = Path(path)
    if not place.exists():
        raise Failure(f"{path}, which dvc.yaml names, is missing: `git restore {path}`, or take it out of dvc.yaml")
    paths = [p for p in place.rglob(pattern) if p.is_file()] if place.is_dir() else [place]
    return [p for p in paths if not any(map(p.match, IGNORED)) and IGNORED_FOLDER not in p.parts]


def today(path: str, pattern: str = "*.py") -> dict[str, object]:
    """A dependency as it is in the working tree; of a folder, the files whose names have the pattern. Raises
    `Failure`.
    """
    paths, files = files_of(path, pattern), {}
    for one in paths:
        with one.open("rb") as file:
            files[one.as_posix()] = hashlib.file_digest(file, "md5").hexdigest()
    return hashed(path, files, sum(one.stat().st_size for one in paths), Path(path).is_dir())


class Stated(NamedTuple):
    """What dvc.yaml says of a stage."""

    command: list[str]  # the script and its arguments, without `python`
    code: list[str]  # the dependencies in src/
    recipes: list[str]  # those in recipes/
    outputs: list[str]  # files and folders; those of the outs first, such as weights


def stated(stage: str) -> Stated:
    """What dvc.yaml says of a stage: `sweep`, or `train@plain-20-signs32` with the names of that experiment filled in.
    Raises `Failure` where there is no such stage, or where the experiment is not in recipes/, and `Mistake` where
    dvc.yaml cannot be read.
    """
    base, _, name = stage.partition("@")
    block = read_yaml(Path("dvc.yaml"))["stages"].get(base)
    if not block:
        raise Failure("it is in dvc.lock, but no longer in dvc.yaml")
    if name:
        resolved = Path("recipes/experiments", f"{name}.json")
        if not resolved.is_file():
            raise Failure("it is in dvc.lock, but no longer in experiments.yaml")
        text = json.dumps(block["do"]).replace("${key}", name)
        for key, value in json.loads(resolved.read_text(encoding="utf-8")).items():
            text = text.replace(f"${{item.{key}}}", str(value))
        block = json.loads(text)
    _, *command = block["cmd"].split()
    inputs = {folder: [dep for dep in block["deps"] if dep.startswith(f"{folder}/")] for folder in ("src", "recipes")}
    written = [one for kind in ("outs", "plots", "metrics") for one in block.get(kind, [])]
    outputs = [path for one in written for path in ([one] if isinstance(one, str) else one)]
    return Stated(command, inputs["src"], inputs["recipes"], outputs)


def read(path: Path = Path("dvc.lock")) -> dict[str, dict]:
    """dvc.lock. Raises `Mistake`."""
    try:
        return read_lock(path.read_bytes(), path)
    except FileNotFoundError:
        raise Mistake(f"{path} is missing: run this in the top folder of the repository") from None


def recorded_by(entry: dict[str, object]) -> str:
    """The newest commit whose code is what the entry of dvc.lock was recorded with. Raises `Failure`."""
    wanted = {dep["path"]: dep["md5"] for dep in entry["deps"] if dep["path"].startswith("src/")}
    for revision in git("log", "--format=%H", "--", "src").decode().split():
        if all(at_revision(path, revision) == md5 for path, md5 in wanted.items()):
            return revision
    shallow = git("rev-parse", "--is-shallow-repository").strip() == b"true"
    more = ": this clone is shallow, `git fetch --unshallow` brings the older ones" if shallow else ""
    raise Failure(f"no commit here has the code that it was recorded with{more}")
