"""What became of each request: done, running, stale, failed; and what a table or a registered model still lacks.

A run of a task records what was asked for (its request) beside its key, which the source decides too. Of the finished
runs of one request the newest counts: it is done while the source is the one that it was made with, else stale. The
others are superseded.
"""

import dataclasses
import functools
import sys
import time
from typing import Literal

import mlflow

from mmvid.liveness import is_gone, is_here
from mmvid.registry import versions
from mmvid.registry.claim import is_claim
from mmvid.registry.copying import COPIED
from mmvid.runs import SILENT_SECONDS, Finished, Task, last_sign, search
from mmvid.sources import sources_digest

State = Literal["done", "running", "silent", "stale", "failed", "superseded", "missing"]
MOST = 50_000  # runs that MLflow lists at once


@dataclasses.dataclass(frozen=True)
class Standing:
    """How it stands with a run, or with what should be one.

    Attributes:
        state: `silent` is a run of another machine without a sign of life for a minute; `failed` one that failed or
            was killed and was not repeated since.
        entry, name, key: of the task.
        run: the run, or None where it is missing.
        why: what more there is to say, or nothing.
    """

    state: State
    entry: str
    name: str
    key: str
    run: Finished | None
    why: str = ""


def end_zombies() -> list[str]:
    """Ends the RUNNING runs whose process ran on this machine and is gone.

    Returns:
        Their ids.
    """
    ended = []
    for run in search("attributes.status = 'RUNNING'", MOST):
        if is_gone(run.tags.get("mmvid.process", "")):
            sys.stderr.write(f"run {run.id} ({run.run.info.run_name}) was RUNNING and its process is gone: KILLED\n")
            mlflow.MlflowClient().set_terminated(run.id, "KILLED")
            ended.append(run.id)
    return ended


def standings() -> list[Standing]:
    """All runs of requests, and all runs in progress, the newest first."""
    found, newest = [], {}
    # MLflow finds runs that have a tag by asking for a value that none has.
    runs = search("tags.`mmvid.key` != ''", MOST)
    for run in runs:
        if run.run.info.status == "FINISHED" and "mmvid.request" in run.tags:
            newest.setdefault(run.tags["mmvid.request"], run)
    for run in runs:
        state, why = _state(run, newest.get(run.tags.get("mmvid.request", "")))
        if state is not None:
            name = run.run.info.run_name
            found.append(Standing(state, run.tags["mmvid.entry"], name, run.tags["mmvid.key"], run, why))
    return found


def of_tasks(tasks: list[Task]) -> list[Standing]:
    """How it stands with each of some tasks, such as a table's."""
    known = standings()
    by_key = {standing.key: standing for standing in reversed(known)}
    by_request = {each.run.tags.get("mmvid.request"): each for each in reversed(known) if each.state != "superseded"}
    found = []
    for task in tasks:
        standing = by_key.get(task.key) or by_request.get(task.request)
        found.append(standing or Standing("missing", task.entry, task.name, task.key, None, "no run has its request"))
    return found


def of_model(name: str) -> list[Standing]:
    """How it stands with the run behind each alias of a registered model; ends what a crash left of a promotion."""
    versions.repair(name)
    aliases = {alias: versions.aliased(name, alias) for alias in versions.ALIASES}
    known = {standing.run.id: standing for standing in standings()}
    found = []
    for alias, version in aliases.items():
        if version is None:
            if alias == "champion":
                found.append(Standing("missing", "promote", f"{name}@champion", "", None, "there is no champion"))
            continue
        held = mlflow.MlflowClient().get_model_version(name, version)
        what = f"{name}@{alias}, version {version}"
        standing = known.get(held.run_id)
        if standing is not None:
            found.append(dataclasses.replace(standing, name=what))
        else:
            found.append(_unlisted(what, held.run_id, held.tags.get("mmvid.key", "")))
    return found


def models() -> list[str]:
    """The registered models, without claims on them."""
    found, token = [], None
    while True:
        page = mlflow.MlflowClient().search_registered_models(max_results=1000, page_token=token)
        found += [model.name for model in page if not is_claim(model.name)]
        if not (token := page.token):
            return found


@functools.cache
def sources_now(modules: str) -> str | None:
    """The digest of the source of some modules, with commas between, as it is now; None if one is no more."""
    try:
        return sources_digest(modules.split(",")) if modules else sources_digest(())
    except ValueError:
        return None


def is_current(run: Finished) -> bool:
    """Whether a run was made with the source as it is now."""
    return run.tags.get("mmvid.sources") == sources_now(run.tags.get("mmvid.modules", ""))


def _unlisted(what: str, run_id: str | None, key: str) -> Standing:
    """How it stands with the run of a version that is not among those of requests."""
    try:
        run = Finished(mlflow.MlflowClient().get_run(run_id or ""))
    except mlflow.MlflowException:
        return Standing("missing", "", what, key, None, f"its run {run_id} is not on this server")
    if run.run.info.lifecycle_stage == "deleted":
        return Standing("missing", "", what, key, None, f"its run {run_id} was deleted")
    why = f"a copy of {origin}" if (origin := run.tags.get(COPIED)) else "made before runs told their source"
    return Standing("stale", run.tags.get("mmvid.entry", ""), what, key, run, why)


def _state(run: Finished, newest: Finished | None) -> tuple[State | None, str]:
    if run.run.info.status == "RUNNING":
        machine = run.tags.get("mmvid.process", "").partition(":")[0]
        quiet = time.time() - last_sign(run)
        if is_here(run.tags.get("mmvid.process", "")) or quiet < SILENT_SECONDS:
            return "running", f"on {machine}"
        return "silent", f"on {machine}, no sign of life for {quiet / 60:.0f} minutes"
    if "mmvid.request" not in run.tags:  # a record, such as a promotion: there is no newer one of the same
        return None, ""
    if newest is None:
        return "failed", run.run.info.status
    if newest.id != run.id:
        older = newest.run.info.start_time >= run.run.info.start_time
        return ("superseded", f"by run {newest.id}") if older else ("failed", run.run.info.status)
    return ("done", "") if is_current(run) else ("stale", "made with other source")
