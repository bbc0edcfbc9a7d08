"""What nobody needs any more: superseded runs with their artifacts and models, and what lies unreferenced below home.

A plan is made first and shown; nothing is removed on the way. Kept are runs that a version of a registered model
refers to, and runs whose key is an input of a run that is kept. MLflow keeps the rows of removed runs in its trash
until `mlflow gc`; their artifacts are removed at once, and before the row, so that a kill in between leaves a run
that the next call finds again.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from mmvid.durable import is_held, remove_lock
from mmvid.runs import Finished, home, search
from mmvid.upkeep.states import MOST, Standing, is_current, standings


@dataclasses.dataclass(frozen=True)
class Rubbish:
    """Something to remove.

    Attributes:
        kind: run, store, checkpoint or lock.
        what: its name.
        why: why nobody needs it.
        bytes: what it takes on disk or in the artifact store.
        remove: removes it.
    """

    kind: str
    what: str
    why: str
    bytes: int
    remove: Callable[[], object]


def plan() -> list[Rubbish]:
    """All that can go, runs first."""
    known = standings()
    needless = _needless(known)
    gone = {standing.run.id for standing in needless}
    runs = [
        Rubbish(
            "run",
            f"{standing.run.id} ({standing.name})",
            f"superseded {standing.why}",
            _bytes_of_run(standing.run),
            lambda run=standing.run: _remove_run(run),
        )
        for standing in needless
    ]
    left = [run for run in search("", MOST) if run.id not in gone]
    kept = [standing for standing in known if standing.run.id not in gone]
    return [*runs, *_stores(left), *_checkpoints(kept), *_locks(kept)]


def referenced() -> set[str]:
    """The runs that any version of a registered model refers to; an alias points to a version."""
    found, token = set(), None
    while True:
        page = MlflowClient().search_model_versions(max_results=1000, page_token=token)
        for version in page:
            found |= {version.run_id, version.tags.get("mmvid.run"), version.tags.get("mmvid.promotion")}
        if not (token := page.token):
            return found - {None, ""}


def _needless(known: list[Standing]) -> list[Standing]:
    held = referenced()
    superseded = [each for each in known if each.state == "superseded" and each.run.id not in held]
    ids = {each.run.id for each in superseded}
    inputs = {
        value
        for each in known
        if each.run.id not in ids
        for name, value in each.run.tags.items()
        if name.startswith("mmvid.input.")
    }
    newest = {each.key for each in known if each.run.id not in ids}
    # Equal keys mean equal results: with a newer run of the key, whoever has it as an input is served.
    return [each for each in superseded if each.key not in inputs or each.key in newest]


def _stores(left: list[Finished]) -> Iterator[Rubbish]:
    places = set()
    for run in left:
        if run.run.info.status in ("FINISHED", "RUNNING") or is_current(run):  # one that was killed goes on
            places |= {
                run.tags.get("mmvid.data.store"),
                run.run.data.params.get("store"),
                run.run.data.params.get("data"),
            }
    used = {Path(place).resolve() for place in places if place}
    for folder in _folders(home() / "stores"):
        if folder.resolve() not in used:
            why = f"no run on {_server()} refers to it"
            yield Rubbish("store", str(folder), why, _bytes_of(folder), lambda folder=folder: shutil.rmtree(folder))


def _checkpoints(kept: list[Standing]) -> Iterator[Rubbish]:
    needed = {each.key for each in kept if each.state in ("running", "silent")}
    needed |= {each.key for each in kept if each.state == "failed" and is_current(each.run)}
    for folder in _folders(home() / "checkpoints"):
        lock = home() / "locks" / folder.name
        if folder.name not in needed and not (lock.exists() and is_held(lock)):
            why = "no training that could go on from it"
            yield Rubbish(
                "checkpoint", str(folder), why, _bytes_of(folder), lambda folder=folder: shutil.rmtree(folder)
            )


def _locks(kept: list[Standing]) -> Iterator[Rubbish]:
    running = {each.key for each in kept if each.state == "running"}
    folder = home() / "locks"
    for lock in sorted(folder.iterdir()) if folder.is_dir() else []:
        if lock.is_file() and lock.name not in running and not is_held(lock):
            size = lock.stat().st_size
            yield Rubbish("lock", str(lock), "nobody holds it", size, lambda lock=lock: remove_lock(lock))


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _bytes_of_run(run: Finished) -> int:
    return sum(_bytes_at(uri) for uri in (run.run.info.artifact_uri, *_models(run).values()))


def _bytes_at(uri: str) -> int:
    """The bytes of an artifact folder, wherever it is."""
    repository, waiting, total = get_artifact_repository(uri), [None], 0
    while waiting:
        for item in repository.list_artifacts(waiting.pop()):
            if item.is_dir:
                waiting.append(item.path)
            else:
                total += item.file_size or 0
    return total


def _models(run: Finished) -> dict[str, str]:
    """The logged models of a run: id -> where their files are."""
    experiment = run.run.info.experiment_id
    found = MlflowClient().search_logged_models([experiment], filter_string=f"source_run_id = '{run.id}'")
    return {model.model_id: model.artifact_location for model in found}


def _remove_run(run: Finished) -> None:
    client = MlflowClient()
    for model, place in _models(run).items():
        _remove_artifacts(place)
        client.delete_logged_model(model)
    _remove_artifacts(run.run.info.artifact_uri)
    client.delete_run(run.id)


def _remove_artifacts(uri: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # a run without artifacts has no folder
        get_artifact_repository(uri).delete_artifacts()


def _server() -> str:
    return mlflow.get_tracking_uri().partition("?")[0].rpartition("@")[2]
