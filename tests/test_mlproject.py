"""MLproject says what the code says: every entry point runs a step, with all its options and their defaults."""

import importlib
import re
from pathlib import Path

import pytest
import yaml

from mmvid.config import Options, flags

ROOT = Path(__file__).resolve().parents[1]
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
ENTRIES = PROJECT["entry_points"]


class Captured(Exception):
    """Stops a step at its call of `parse`, carrying the parts it asked for."""


def configs(command: str, monkeypatch) -> list[type[Options]]:
    """The configs that a command's step reads."""
    _, _, module, *words = command.split()
    step = importlib.import_module(module)

    def capture(argv, *parts, about):
        raise Captured(parts)

    monkeypatch.setattr(step, "parse", capture)
    with pytest.raises(Captured) as captured:
        step.main([])
    kinds, member = [], None
    for part in captured.value.args[0]:
        if not isinstance(part, type) and not callable(part):
            member = part.load(words[0])
            kinds.append(member.Config)
        else:
            kinds.append(part if isinstance(part, type) else part(member))
    return [kind for kind in kinds if kind is not None]


def text(value) -> str:
    """A default as MLproject writes it."""
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def expected(command: str, kinds: list[type[Options]]) -> tuple[dict[str, str], str]:
    """The parameters that an entry point must have, and its whole command."""
    parameters = {flag: text(field.default) for kind in kinds for flag, field in flags(kind).items()}
    start = " ".join(word for word in re.split(r"\s+--", command)[0].split())
    return parameters, " ".join([start, *(f"--{flag} {{{flag}}}" for flag in parameters)])


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_point_has_all_options_of_its_step(entry, monkeypatch):
    command = " ".join(ENTRIES[entry]["command"].split())
    parameters, wanted = expected(command, configs(command, monkeypatch))
    stated = {name: str(spec["default"]) for name, spec in ENTRIES[entry].get("parameters", {}).items()}
    block = "\n".join(f'      {name}: {{type: string, default: "{value}"}}' for name, value in parameters.items())
    assert stated == parameters, f"MLproject should have:\n{block}"
    assert command == wanted, f"MLproject should have:\n    command: {wanted}"


def test_the_environment_is_one_that_every_manager_reads():
    assert PROJECT["conda_env"] == "conda.yaml" and "python_env" not in PROJECT


def test_every_step_is_an_entry_point():
    steps = {path.stem for path in (ROOT / "steps").glob("*.py")} - {"__init__"}
    assert {entry["command"].split()[2].removeprefix("steps.") for entry in ENTRIES.values()} == steps


def test_every_classifier_has_an_entry_point():
    from mmvid import classifiers

    assert {f"train_{name}" for name in classifiers.names()} <= ENTRIES.keys()


def test_every_blend_has_an_entry_point():
    from mmvid import blends

    assert {f"ensemble_{name}" for name in blends.names()} <= ENTRIES.keys()


def test_the_readme_names_every_entry_point():
    readme = (ROOT / "README.md").read_text()
    assert [entry for entry in ENTRIES if entry not in readme] == []
