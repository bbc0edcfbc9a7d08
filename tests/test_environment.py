"""requirements.txt, conda.yaml and pyproject.toml say the same."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
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
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["search"], *extras["postgres"]]  # all that the commands need
    ranges = {req.name: req.specifier for req in map(Requirement, lines)}
    pinned = {req.name: next(iter(req.specifier)).version for req in map(Requirement, pins()[:-1])}
    assert ranges.keys() == pinned.keys()
    assert [name for name, version in pinned.items() if version not in ranges[name]] == []


def test_served_models_do_not_need_what_searches_need():
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert not {"cmaes", "optuna", "plotly", "psycopg", "sqlalchemy"} & {Requirement(line).name for line in lines}


@pytest.mark.parametrize(
    ("absent", "program", "sentence"),
    [
        ("optuna", "import steps.search", "error: a search needs optuna: pip install 'mmvid[search]'\n"),
        (
            "psycopg",
            "from steps import search; run_command(search.main)",
            "error: storage on PostgreSQL needs psycopg: pip install 'mmvid[postgres]'\n",
        ),
    ],
)
def test_a_missing_extra_is_one_sentence(absent, program, sentence, tmp_path):
    finding = f"""
import importlib.util, sys
from mmvid.console import run_command
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == {absent!r} else find(name, *more)
sys.modules[{absent!r}] = None
{program}
"""
    words = [sys.executable, "-c", finding, "--storage", "postgresql://me@host/db"]
    done = subprocess.run(
        words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode != 0 and done.stderr == sentence
