"""Runs in MLflow tracking: one task, one key, one run.

A task's key (see `tasks`) is tagged on its run, so that a finished run is found again instead of computed again.

    with Command() as command:
        finished = command.find_or_run(task, compute)
"""

import contextlib
import dataclasses
import json
import logging
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before mlflow is imported, which starts its telemetry; what a user has set stays.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # 7 would block for four minutes
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # for files of a second

import mlflow
import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun

from mmvid.artifacts import local_path
from mmvid.config import Options, option
from mmvid.console import Stopped, shielded, stoppable
from mmvid.durable import exclusively
from mmvid.liveness import is_gone, is_here, this_process
from mmvid.sources import git_tags
from mmvid.tasks import NotComputedError, Task
from mmvid.tracking_database import first_use

# MLflow tells of every start of its monitor; what we want to say goes to standard error ourselves.
logging.getLogger("mlflow").setLevel(logging.WARNING)

SYSTEM_METRICS_SECONDS = 2  # MLflow's 10 would leave a run of seconds without any
SILENT_SECONDS = 60  # without a sign of life for so long, a run of another machine is not waited for
POLL_SECONDS = 2


class RunConfig(Options):
    """This command."""

    force: bool = option(False, "run again even if there is a finished run with the same key", decides=False)


def home() -> Path:
    """The folder for data, stores and checkpoints: $MMVID_HOME, else `data` below the working folder."""
    return Path(os.environ.get("MMVID_HOME") or "data").resolve()


@dataclasses.dataclass(frozen=True)
class Finished:
    """A run that is over and its results."""

    run: MlflowRun

    @property
    def id(self) -> str:
        return self.run.info.run_id

    @property
    def metrics(self) -> dict[str, float]:
        return self.run.data.metrics

    @property
    def tags(self) -> dict[str, str]:
        return self.run.data.tags

    def fetch(self, name: str) -> Path:
        """An artifact, a file or a folder, as it lies on this machine.

        Raises:
            ValueError: if the run has none of that name.
        """
        try:
            return local_path(self.run.info.artifact_uri, name)
        except mlflow.MlflowException as error:
            raise ValueError(f"run {self.id} must have the artifact {name}: {error}") from error


class Undisturbed:
    """An MLflow client whose calls no signal cuts in two: `Stopped` is raised when the call is over."""

    def __init__(self, client: mlflow.MlflowClient):
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            with shielded():
                return method(*arguments, **named)

        return call


class Run:
    """A run in progress, and what can be told to it."""

    def __init__(self, run_id: str):
        self.id = run_id
        self.client = Undisturbed(mlflow.MlflowClient())

    def report(self, metrics: dict[str, float], step: int = 0) -> None:
        """Logs metrics of one step, such as an epoch."""
        self.report_all([(metrics, step, time.time())])

    def report_all(self, points: list[tuple[dict[str, float], int, float]]) -> None:
        """Logs metrics of many steps, each with its step and when it was measured, in seconds since 1970."""
        told = [Metric(name, at, int(when * 1000), step) for point, step, when in points for name, at in point.items()]
        for start in range(0, len(told), 1000):  # the most that one batch takes
            self.client.log_batch(self.id, metrics=told[start : start + 1000])

    def params(self, params: dict[str, Any]) -> None:
        """Logs parameters that are not there yet: `mlflow run` logs some itself, and they are write-once."""
        known = self.client.get_run(self.id).data.params
        new = [Param(name, str(value)[:6000]) for name, value in params.items() if name not in known]
        for start in range(0, len(new), 100):  # the most that one batch takes
            self.client.log_batch(self.id, params=new[start : start + 100])

    def tags(self, tags: dict[str, Any]) -> None:
        self.client.log_batch(self.id, tags=[RunTag(name, str(value)) for name, value in tags.items()])

    def describe(self, text: str) -> None:
        """Writes the run's description, Markdown at the top of its page."""
        self.tags({"mlflow.note.content": text})

    def json(self, name: str, value: Any) -> None:
        """Logs a JSON artifact."""
        self.client.log_dict(self.id, value, name)

    def text(self, name: str, text: str) -> None:
        """Logs a text artifact: Markdown, CSV and HTML are shown by the UI."""
        self.client.log_text(self.id, text, name)

    def figure(self, name: str, figure: Any) -> None:
        """Logs a matplotlib figure as a picture."""
        self.client.log_figure(self.id, figure, name)

    def image(self, name: str, picture: np.ndarray, step: int) -> None:
        """Logs a picture, uint8 (H, W, 3), of one step: the UI has a slider over the steps of a name."""
        self.client.log_image(self.id, picture, key=name, step=step)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A local path to write to; the file becomes an artifact when the block ends."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            yield path
            self.client.log_artifact(self.id, str(path), str(Path(name).parent) if "/" in name else None)

    def folder(self, name: str, path: Path) -> None:
        """Logs a folder's files as artifacts below `name`."""
        self.client.log_artifacts(self.id, str(path), name)

    def dataset(self, name: str, digest: str, source: str, profile: dict[str, Any], context: str) -> None:
        """Logs a data set as an input of the run; the UI shows its name, digest and profile."""
        entity = Dataset(
            name=name,
            digest=digest[:36],  # the most that MLflow keeps
            source_type="local",
            source=json.dumps({"uri": source}),
            profile=json.dumps(profile),
        )
        tag = InputTag("mlflow.data.context", context)
        self.client.log_inputs(self.id, [DatasetInput(entity, [tag])])


class Command:
    """One command's runs. Takes over the run that `mlflow run` made for it, and ends it whatever happens."""

    computes = True  # else it is an error that something has no finished run

    def __enter__(self) -> "Command":
        if not mlflow.is_tracking_uri_set():
            mlflow.set_tracking_uri(f"sqlite:///{Path('mlflow.db').resolve()}")
        os.environ["MLFLOW_TRACKING_URI"] = mlflow.get_tracking_uri()  # child processes must not resolve it anew
        self.adopted = os.environ.pop("MLFLOW_RUN_ID", None)
        self.signals = stoppable()
        self.signals.__enter__()
        try:
            with first_use(home() / "locks"):
                self.client = Undisturbed(mlflow.MlflowClient())
                self.client.search_experiments(max_results=1)
        except BaseException as error:
            self.signals.__exit__(None, None, None)
            _tell(error)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self.signals.__exit__(None, None, None)
        if self.adopted is not None:
            with contextlib.suppress(mlflow.MlflowException):  # the first error is the one to show
                self.client.set_terminated(self.adopted, _status(kind))
        _tell(error)

    def find_or_run(
        self,
        task: Task,
        compute: Callable[[Run], None],
        *,
        force: bool = False,
        own: bool = False,
        usable: Callable[[Finished], bool] = lambda finished: True,
    ) -> Finished:
        """The finished run of a task: found by its key, or computed now.

        Args:
            task: what is asked for.
            compute: computes it into the run it is given.
            force: computes even if there is a finished run.
            own: the task is the command's own, not one that it needs on the way.
            usable: whether a found run's results are still there, such as a store on this disk.
        """
        waiting = f"{task.entry}: another process computes the same; waiting for it"
        with exclusively(home() / "locks" / task.key, waiting):
            found = None if force else self._find_or_wait(task, usable)
            if found is not None:
                sys.stderr.write(f"{task.entry}: run {found.id} has the same key; nothing to compute\n")
                if own and self.adopted is not None:
                    self._point(found)
                return found
            if not self.computes:
                raise NotComputedError(task)
            self._end_abandoned(task.key)
            with self.start(task, own=own) as run:
                modules = ",".join(task.modules)
                run.tags({"mmvid.request": task.request, "mmvid.sources": task.sources, "mmvid.modules": modules})
                compute(run)
        return Finished(self.client.get_run(run.id))

    @contextlib.contextmanager
    def finding_only(self) -> Iterator[None]:
        """In the block what has no finished run is not computed: `NotComputedError` is raised in its place."""
        before, self.computes = self.computes, False
        try:
            yield
        finally:
            self.computes = before

    @contextlib.contextmanager
    def start(
        self, task: Task, own: bool = False, *, again: str | None = None, system_metrics: bool = True
    ) -> Iterator[Run]:
        """A run for a task; it ends FINISHED, FAILED with its traceback as an artifact, or KILLED.

        `again` is the id of a run to go on with; `system_metrics` takes a thread and tenths of a second.
        """
        adopted, parent = (self.adopted, None) if own else (None, self.adopted)
        if again is not None and adopted is not None:
            Run(adopted).tags({"mmvid.same_as": again, "mlflow.runName": f"{task.name} (joins)"})
            Run(adopted).describe(f"All is logged to run {again}, which this command goes on with.")
            self.client.set_terminated(adopted, "FINISHED")
        self.adopted = None if own else self.adopted
        tags = _tags(task)
        mlflow.set_system_metrics_sampling_interval(SYSTEM_METRICS_SECONDS)
        with shielded():
            if again is not None or adopted is not None:
                mlflow.start_run(run_id=again or adopted, tags=tags, log_system_metrics=system_metrics)
            else:
                mlflow.start_run(nested=True, parent_run_id=parent, tags=tags, log_system_metrics=system_metrics)
        run = Run(mlflow.active_run().info.run_id)
        try:
            run.params(task.options)
            yield run
        except BaseException as error:
            with contextlib.suppress(Exception):  # the first error is the one to show
                run.text("error.txt", traceback.format_exc())
            with contextlib.suppress(Exception), shielded():
                mlflow.end_run(_status(type(error)))
            raise
        with shielded():
            mlflow.end_run("FINISHED")

    def _find_or_wait(self, task: Task, usable: Callable[[Finished], bool]) -> Finished | None:
        """A finished run with usable results; waits while a process on another machine computes them.

        The lock file keeps the processes of one machine apart. Machines see of each other what the tracking server
        knows: two that begin within the same second both compute, to the same result.
        """
        told = False
        while True:
            # First who computes, then what is finished: what ends between the two questions is not missed.
            others = [run for run in search(_running(task.key)) if is_beating(run)]
            found = find(task.key)
            if found is not None and usable(found):
                return found
            if not others:
                return None
            if not told:
                machine = others[0].tags["mmvid.process"].partition(":")[0]
                sys.stderr.write(f"{task.entry}: run {others[0].id} on {machine} computes the same; waiting for it\n")
                told = True
            time.sleep(POLL_SECONDS)

    def _end_abandoned(self, key: str) -> None:
        """Ends the runs of a key whose process was killed on this machine: nobody else will."""
        for left in search(_running(key)):
            if is_gone(left.tags.get("mmvid.process", "")):
                sys.stderr.write(f"run {left.id} had the same key and its process is gone; it ends as KILLED\n")
                self.client.set_terminated(left.id, "KILLED")

    def _point(self, found: Finished) -> None:
        """Makes the run that `mlflow run` created an entry that shows and links the finished one."""
        run = Run(self.adopted)
        run.tags({"mmvid.same_as": found.id, "mlflow.runName": f"{found.run.info.run_name} (found)"})
        run.describe(f"Nothing was computed: run {found.id} has the same key.")
        run.report(found.metrics)


def find(key: str) -> Finished | None:
    """The newest finished run with a key, in any experiment of the tracking server."""
    return next(iter(search(f"tags.`mmvid.key` = '{key}' and attributes.status = 'FINISHED'", limit=1)), None)


def search(condition: str, limit: int = 1000) -> list[Finished]:
    """Runs by a filter of MLflow's search language, the newest first."""
    client = mlflow.MlflowClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, condition, max_results=limit, order_by=["attributes.start_time DESC"])
    return [Finished(run) for run in found]


def is_beating(run: Finished) -> bool:
    """Whether a RUNNING run of another machine has shown a sign of life within the last minute.

    The sign is the system metrics that MLflow logs every other second; machines' clocks must agree that far.
    """
    if is_here(run.tags.get("mmvid.process", platform.node())):
        return False
    return time.time() - last_sign(run) < SILENT_SECONDS


def last_sign(run: Finished) -> float:
    """When a run last showed a sign of life: a system metric, or its start; seconds since 1970."""
    points = mlflow.MlflowClient().get_metric_history(run.id, "system/cpu_utilization_percentage")
    return max([run.run.info.start_time, *(point.timestamp for point in points)]) / 1000


def load_run(run_id: str) -> Finished:
    """A run by its id.

    Raises:
        ValueError: if the tracking server has no such run, or it did not finish.
    """
    try:
        run = mlflow.MlflowClient().get_run(run_id)
    except mlflow.MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise ValueError(f"run must be the id of a run on {mlflow.get_tracking_uri()}, got {run_id!r}") from error
    if run.info.status != "FINISHED":
        raise ValueError(f"run {run_id} must be finished, it is {run.info.status}")
    return Finished(run)


def _running(key: str) -> str:
    return f"tags.`mmvid.key` = '{key}' and attributes.status = 'RUNNING'"


def _tell(error: BaseException | None) -> None:
    """Turns an error of MLflow into one sentence; others are left alone."""
    if isinstance(error, mlflow.MlflowException):
        sentence = str(error.message).strip().splitlines()[0]
        raise OSError(f"MLflow at {mlflow.get_tracking_uri()}: {sentence}") from error


def _tags(task: Task) -> dict[str, str]:
    tags = {"mmvid.key": task.key, "mmvid.entry": task.entry, "mmvid.process": this_process()}
    if task.name:
        tags["mlflow.runName"] = task.name
    return tags | {f"mmvid.input.{name}": digest for name, digest in task.inputs.items()} | git_tags()


def _status(kind: type[BaseException] | None) -> str:
    if kind is None:
        return "FINISHED"
    return "KILLED" if issubclass(kind, Stopped) else "FAILED"
