"""requirements.txt, conda.yaml and pyproject.toml say the same."""

import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


def pins() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_conda_yaml_has_the_pins_of_requirements_txt():
    dependencies = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    assert dependencies[-1]["pip"] == pins()


def test_every_pin_is_exact_and_the_project_itself_is_there():
    *libraries, ourselves = pins()
    assert ourselves == "-e ."
    assert all([str(spec).startswith("==") for spec in Requirement(line).specifier] == [True] for line in libraries)
    assert "torch==2.13.0" in libraries


def test_pins_lie_in_the_ranges_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ranges = {req.name: req.specifier for req in map(Requirement, project["dependencies"])}
    pinned = {req.name: next(iter(req.specifier)).version for req in map(Requirement, pins()[:-1])}
    assert ranges.keys() == pinned.keys()
    assert [name for name, version in pinned.items() if version not in ranges[name]] == []
