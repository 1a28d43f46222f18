"""What source code says to Python. Comments, docstrings and layout are not part of it: where two versions of a file
differ in nothing else, both write the same bytes, and `src/unchanged.py` need not run them. (No result depends on a
docstring: `--help` alone prints some.)
"""

import ast

from lineage.lock import blobs, files_of, git

WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def syntax(source: bytes) -> str:
    """The syntax tree of a source file without docstrings, as text. Raises `SyntaxError`."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)  # without line numbers


def same_syntax(path: str, revision: str) -> bool:
    """Whether a dependency in src/, a file or a folder, has the same files today as at the revision, each with the same
    syntax tree. Raises `Failure` where it is missing today.
    """
    then = {name: git("cat-file", "blob", blob) for name, blob in blobs(path, revision).items()}
    today = {file.as_posix(): file.read_bytes() for file in files_of(path)}
    try:
        return then.keys() == today.keys() and all(
            then[name] == today[name] or syntax(then[name]) == syntax(today[name]) for name in then
        )
    except SyntaxError:
        return False  # the run will say where
