from pathlib import Path

import pytest
from conftest import git

from lineage.errors import Failure
from lineage.lock import tree
from lineage.syntax import same_syntax, syntax

SOURCE = b'''"""A module."""

LIMIT = 3


class Thing:
    """A class."""

    name = "thing"

    def method(self, x):
        """A method."""
        return f"{x} {self.name}"  # why
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"A module.", b"Another module."),
        (b"A class.", b"It had two lines.\n\n    Now three."),
        (b'        """A method."""\n', b""),
        (b"  # why", b""),
        (b"LIMIT = 3", b"LIMIT = (\n    3\n)"),
        (b'"thing"', b"'thing'"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(old, new):
    assert SOURCE.count(old) == 1
    assert syntax(SOURCE.replace(old, new)) == syntax(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"LIMIT = 3", b"LIMIT = 3.0"),
        (b"LIMIT = 3", b"LIMIT = -3"),
        (b'"thing"', b'"other"'),
        (b'    name = "thing"\n', b'    name: str = "thing"\n'),
        (b"method(self, x)", b"method(self, x=1)"),
        (b"{x} {", b"{x}  {"),
        (b"        return", b"        return None\n        return"),
        (b"LIMIT = 3", b'LIMIT = 3\n"""No docstring, as it does not come first."""'),
    ],
)
def test_all_else_counts(old, new):
    assert SOURCE.count(old) == 1
    assert syntax(SOURCE.replace(old, new)) != syntax(SOURCE)


def test_a_dependency_is_compared_file_by_file(workspace):
    Path("src/engine").mkdir(parents=True)
    Path("src/engine/a.py").write_bytes(SOURCE)
    Path("src/engine/b.py").write_bytes(b"B = 1\n")
    Path("src/engine.py").write_bytes(b"no Python\n")  # a name that begins alike
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "t")
    tree.cache_clear()
    assert same_syntax("src/engine", "HEAD") and same_syntax("src/engine.py", "HEAD")
    Path("src/engine/a.py").write_bytes(SOURCE.replace(b"A class.", b"Words."))
    Path("src/engine.py").write_bytes(b"still no Python\n")
    assert same_syntax("src/engine", "HEAD") and same_syntax("src/engine/a.py", "HEAD")
    assert not same_syntax("src/engine.py", "HEAD")
    Path("src/engine/b.py").write_bytes(b"B = 2\n")
    assert same_syntax("src/engine/a.py", "HEAD") and not same_syntax("src/engine", "HEAD")
    Path("src/engine/b.py").rename("src/engine/c.py")
    assert not same_syntax("src/engine", "HEAD")
    Path("src/engine/c.py").unlink()
    assert not same_syntax("src/engine", "HEAD")
    with pytest.raises(Failure, match=r"^src/engine/c\.py, which dvc\.yaml names, is missing"):
        same_syntax("src/engine/c.py", "HEAD")
