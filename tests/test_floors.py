"""The house has floors: a module imports only from floors below its own, or from its own room."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# From the ground up; rooms that share a line do not know each other.
FLOORS = [
    {"epochs"},
    {"config", "catalogue", "console", "draws", "durable", "liveness", "permutation", "ranks", "sources", "storage"},
    {
        "artifacts",
        "tasks",
        "text",
        "tfrecords",
        "animation",
        "encoder_presets",
        "layers",
        "loop",
        "manifests",
        "metrics",
        "optimisation",
        "presets",
        "tracking_database",
    },
    {"records", "clips", "runs"},
    {"links"},
    {"classifiers", "encoders", "feature_cache", "labelled", "mixup", "segmenters"},
    {
        "blends",
        "clip_evaluation",
        "encoder_package",
        "pretraining",
        "training",
        "predictions",
        "published",
        "text_encoder",
    },
    {"ensemble", "evaluation", "fvd", "latents", "setups"},
    {"logged", "packaging", "requests", "segmentation"},
    {"ensemble_package"},
    {"clipset", "cross_validation", "dataset", "encoder_experiment", "experiment", "serving", "textual"},
    {"distillation", "encoder_serving", "ensemble_serving", "maskset", "served", "registry", "search"},
    {"bulk", "ensembling", "plugin", "report", "segmentation_serving", "served_encoder", "served_ensemble"},
    {"served_segmenter", "subjects", "upkeep"},
    {"promotion"},
    {"steps"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MLFLOW_ROOMS = {
    *(
        "artifacts",
        "logged",
        "requests",
        "runs",
        "tracking_database",
        "links",
        "packaging",
        "serving",
        "served",
        "encoder_serving",
        "ensemble_serving",
        "served_encoder",
        "served_ensemble",
        "segmentation_serving",
        "served_segmenter",
        "registry",
        "plugin",
        "upkeep",
    ),
}
FILES = sorted([*ROOT.glob("mmvid/**/*.py"), *ROOT.glob("steps/**/*.py")])


def room_of(module: str) -> str:
    """`mmvid.records.store` is in the room records, `steps.train` in the room steps."""
    parts = module.split(".")
    return parts[0] if parts[0] == "steps" or len(parts) == 1 else parts[1]


def imported(path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def module_of(path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_down_only(path):
    own = room_of(module_of(path))
    for line, name in imported(path):
        if name.split(".")[0] in ("mmvid", "steps"):
            room = room_of(name)
            if room in ("mmvid", own) or own == "mmvid":
                continue
            assert own in FLOOR and room in FLOOR, f"{path}:{line}: say in FLOORS where {room} or {own} is"
            assert FLOOR[room] < FLOOR[own], f"{path}:{line}: {own} must not import {room}"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_only_some_rooms_know_mlflow_and_optuna(path):
    libraries = {name.split(".")[0] for _, name in imported(path)}
    own = room_of(module_of(path))
    assert "mlflow" not in libraries or own in MLFLOW_ROOMS
    assert "optuna" not in libraries or own == "search"


def test_files_hold_one_idea():
    long = [str(path.relative_to(ROOT)) for path in FILES if len(path.read_text().splitlines()) > 400]
    assert long == []


def test_every_file_opens_with_what_it_is():
    assert [str(path) for path in FILES if ast.get_docstring(ast.parse(path.read_text())) is None] == []
