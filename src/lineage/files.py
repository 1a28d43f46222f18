"""Files that are there whole or not at all: whatever happens while one is written, an earlier one stays as it was."""

import csv
import difflib
import io
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from lineage.errors import Failure, Mistake


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, a file or a folder, instead of `path`; at the end it takes the place of `path`, after an
    error it is removed.
    """
    temporary, earlier = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.earlier")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(temporary)
    if earlier.exists() and not path.exists():  # killed between the two steps below
        os.replace(earlier, path)
    try:
        yield temporary
        if temporary.is_dir() and path.exists():  # which replaces no folder that is not empty
            _remove(earlier)
            os.replace(path, earlier)
        os.replace(temporary, path)
        _remove(earlier)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep a folder to this process as long as it lives, however it ends, and remove what was left half-written there.
    Raises `Mistake` where another has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise Mistake(f"{folder} is in use by another run: wait until that has ended, or stop it") from None
    with lock:
        try:
            _remove_parts(folder)
            yield
        finally:
            _remove_parts(folder)


def _remove_parts(folder: Path) -> None:
    for path in [*folder.rglob("*.part")]:  # in a stage's folder each of its runs has one of its own
        _remove(path)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """UTF-8 and line feeds on every system, so that the same text is the same bytes."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: object) -> None:
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    """CSV with the first row's keys as columns: floats with six digits, and nothing where one is not a number."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _digits(value) if isinstance(value, float) else value for key, value in row.items()})
    write_text(path, text.getvalue())


def _digits(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def read_yaml(path: Path) -> object:
    """What a YAML file says. Raises `Mistake` where it is none, or where a key stands twice in one place: YAML would
    take the last one without a word, and DVC refuses the file.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _KeysOnce)
    except Mistake as error:
        raise Mistake(f"{path}: {error}") from None
    except (yaml.YAMLError, ValueError) as error:  # the latter for an impossible date, and for what is not UTF-8
        said = " ".join(str(error).replace('"<unicode string>", ', "").split())
        raise Mistake(f"{path} is not YAML in UTF-8: {said}") from None


def read_lock(content: bytes, path: Path) -> dict[str, dict]:
    """What a dvc.lock says, given its bytes. Raises `Mistake`."""
    try:
        found = yaml.load(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("stages"), dict):
        raise Mistake(
            f"{path} is not as DVC writes it: `python src/merge_lock.py` after a merge, or `git restore {path}`"
        )
    return found


def recipes() -> list[str]:
    """The names of all experiments in recipes/. Raises `Mistake` where there are none, as in another folder."""
    names = _names()
    if not names:
        raise Mistake("recipes/experiments is missing: run this in the top folder, after `dvc repro recipes`")
    return names


def _names() -> list[str]:
    return [path.stem for path in sorted(Path("recipes/experiments").glob("*.json"))]


def check_name(name: str) -> None:
    """Raises `Mistake` for a name that is not an experiment's but resembles one, and says which."""
    close = difflib.get_close_matches(name, _names())
    if close and name not in close:
        raise Mistake(f"{name} is not an experiment; close names: {', '.join(close)}")


class _KeysOnce(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise Mistake(f"{key.value} occurs twice, the second time on line {key.start_mark.line + 1}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_json(path: Path) -> dict[str, object]:
    """Raises `Mistake` where there is no such file, and `Failure` for one that is not JSON, such as one where Git has
    marked a conflict in it.
    """
    restore = f": resolve the conflict in it, or `git restore {path}`"
    advice = {"recipes": "; `dvc repro recipes` writes it again", "runs": ": remove it"}
    advice |= {"metrics": restore, "plots": restore}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        first = ": run `dvc repro recipes` first" if path.parts[0] == "recipes" else ""
        raise Mistake(f"{path} is missing{first}") from None
    except ValueError as error:
        raise Failure(f"{path} is not JSON ({error}){advice.get(path.parts[0], '')}") from None
