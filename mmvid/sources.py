"""Which code a result depends on: the modules that a module imports, and a digest of what they do.

The digest is taken over syntax trees without docstrings, so a reworded comment does not void a finished run.
"""

import ast
import hashlib
import importlib.util
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

OURS = ("mmvid", "steps")


def sources_digest(modules: Iterable[str]) -> str:
    """A digest of the given modules and of all our modules that they import, directly or not.

    Modules that are loaded by name at run time, such as a classifier, must be given: an import statement does not
    show them.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting.extend(imports(module))
    digest = hashlib.blake2b(digest_size=16)
    for module in sorted(found):
        digest.update(f"{module}\0{ast.dump(_tree(_file(module)))}\0".encode())
    return digest.hexdigest()


def imports(module: str) -> Iterator[str]:
    """Our modules that `module` names in its import statements; their packages' `__init__` come with them."""
    parts = module.split(".")
    yield from (".".join(parts[:end]) for end in range(1, len(parts)))
    for node in ast.walk(_tree(_file(module))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in OURS)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
            yield node.module
            # `from mmvid.layers import losses` names a module, `from mmvid.config import option` does not.
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name for name in names if _file_or_none(name) is not None)


def _file(module: str) -> Path:
    path = _file_or_none(module)
    if path is None:
        raise ValueError(f"there is no module {module!r}")
    return path


@cache
def _file_or_none(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # the parent is a plain module: this is a name inside it
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


@cache
def _tree(path: Path) -> ast.Module:
    """The module's syntax tree without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
    return tree


@cache  # the code that runs is the one that was read at first
def git_tags() -> dict[str, str]:
    """The commit of our source and whether it was changed since, as tags of a run."""

    def git(*words: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {
            "mmvid.git.commit": git("rev-parse", "HEAD"),
            "mmvid.git.dirty": str(bool(git("status", "-s"))),
        }
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
        return {"mmvid.git.commit": "unknown"}
