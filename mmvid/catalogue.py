"""A folder as a catalogue: a file in it is a member, there is no table to edit."""

import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType


def catalogue(package: str, path: list[str], what: str) -> tuple[Callable[[], list[str]], Callable[[str], ModuleType]]:
    """The two look-ups of a catalogue.

    Args:
        package: the package's dotted name, such as `mmvid.classifiers`.
        path: the package's `__path__`.
        what: the word for one member in messages, such as `classifier`.

    Returns:
        `names()`, the members' names in order, and `load(name)`, the member's module; `load` raises ValueError for
        a name that is no member.
    """

    def names() -> list[str]:
        return sorted(found.name for found in pkgutil.iter_modules(path) if not found.name.startswith("_"))

    def load(name: str) -> ModuleType:
        if name not in names():
            raise ValueError(f"unknown {what} {name!r}; there are {', '.join(names())}")
        return importlib.import_module(f"{package}.{name}")

    return names, load
