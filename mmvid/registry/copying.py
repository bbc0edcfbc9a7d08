"""A version on another MLflow server, with its training run: MLflow copies inside one registry only.

The training run is made there again, with parameters, last metrics, tags, data sets and artifacts; the model's files
become a logged model of it; the version is registered from that. Both say in `mmvid.copied_from` where they come from.
A copy that was cut off leaves an unfinished run and no version; the same call copies again. A copy that is there is
found, and nothing is sent twice.
"""

import shutil
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import mlflow
import yaml
from mlflow import MlflowClient, MlflowException
from mlflow.entities import LoggedModelStatus, Metric, Param, RunTag

from mmvid.durable import exclusively
from mmvid.registry import versions
from mmvid.runs import home

COPIED = "mmvid.copied_from"
_EXPERIMENT = "mmvid copies"
_LEFT_OUT = ("mmvid.model", "mmvid.process")  # tags that mean nothing elsewhere; of MLflow's own, name and note stay
_KEPT = ("mlflow.runName", "mlflow.note.content", "mlflow.source.git.commit", "mlflow.user")


def copy_champion(name: str, uri: str) -> tuple[str, str]:
    """Copies the champion of a registered model to another server and makes it champion there.

    Args:
        name: the registered model, of the same name there.
        uri: the tracking URI of the other server, which is its registry too.

    Returns:
        The version here and the version there; the one that was champion there is `previous`.

    Raises:
        ValueError: if there is no champion, or the other server is this one.
        OSError: if the other server cannot be reached.
    """
    version = versions.aliased(name, "champion")
    if version is None:
        raise ValueError(f"{name} must have a champion to copy, it has none")
    if public(uri) == public(mlflow.get_tracking_uri()):
        raise ValueError(f"copy_to must be another server than {public(uri)}")
    try:
        with exclusively(home() / "locks" / "copy"):  # the first use of a fresh database makes its tables
            target = MlflowClient(uri, uri)
            target.search_registered_models(max_results=1)
        copied = copy_version(name, version, target)
        while not versions.crown(name, copied, expected=versions.aliased(name, "champion", target), client=target):
            pass  # another promotion there came between: the copy follows it
    except MlflowException as error:
        raise OSError(f"copy to {public(uri)}: {str(error.message).strip().splitlines()[0]}") from error
    return version, copied


def copy_version(name: str, version: str, target: MlflowClient) -> str:
    """Copies one version, and its run, to the server of `target`, unless that was done.

    Returns:
        The version's number there.
    """
    source = MlflowClient()
    held = source.get_model_version(name, version)
    origin = f"{public(mlflow.get_tracking_uri())} {name} version {version}"
    if (there := _find(target, name, origin)) is not None:
        return there
    with tempfile.TemporaryDirectory() as folder:
        model = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=folder))
        run_id = _copy_run(source, target, held.run_id, origin)
        experiment = target.get_run(run_id).info.experiment_id
        logged = target.create_logged_model(experiment, name=name, source_run_id=run_id, tags={COPIED: origin})
        _readdress(model, run_id, logged)
        target.log_model_artifacts(logged.model_id, str(model))
        target.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    target.set_tag(run_id, "mmvid.model", f"models:/{logged.model_id}")
    _ensure_model(target, name)
    made = target.create_model_version(
        name,
        logged.artifact_location,
        run_id,
        tags=dict(held.tags) | {COPIED: origin, "mmvid.copied_run": held.run_id},
        description=held.description,
        model_id=logged.model_id,
    )
    target.set_terminated(run_id, "FINISHED")
    return str(made.version)


def public(uri: str) -> str:
    """A URI without user and password, as it may be shown."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri


def _find(target: MlflowClient, name: str, origin: str) -> str | None:
    quoted = origin.replace("'", "\\'")
    found = target.search_model_versions(f"name = '{name}' and tags.`{COPIED}` = '{quoted}'")
    return str(found[0].version) if found else None


def _ensure_model(target: MlflowClient, name: str) -> None:
    try:
        target.create_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise


def _copy_run(source: MlflowClient, target: MlflowClient, run_id: str, origin: str) -> str:
    """Makes the training run again; it stays RUNNING until the version is there."""
    run = source.get_run(run_id)
    kept = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.") or key in _KEPT}
    tags = {key: value for key, value in kept.items() if key not in _LEFT_OUT} | {COPIED: origin}
    experiment = target.get_experiment_by_name(_EXPERIMENT)
    place = experiment.experiment_id if experiment else target.create_experiment(_EXPERIMENT)
    made = target.create_run(place, start_time=run.info.start_time).info.run_id
    now = int(time.time() * 1000)
    metrics = [Metric(key, value, now, 0) for key, value in run.data.metrics.items() if not key.startswith("system/")]
    params = [Param(key, value) for key, value in run.data.params.items()]
    for start in range(0, len(metrics), 500):
        target.log_batch(made, metrics=metrics[start : start + 500])
    for start in range(0, len(params), 100):
        target.log_batch(made, params=params[start : start + 100])
    target.log_batch(made, tags=[RunTag(key, value) for key, value in tags.items()])
    if run.inputs.dataset_inputs:
        target.log_inputs(made, run.inputs.dataset_inputs)
    folder = Path(tempfile.mkdtemp())
    try:
        if source.list_artifacts(run_id):
            target.log_artifacts(made, source.download_artifacts(run_id, "", str(folder)))
    finally:
        shutil.rmtree(folder)
    return made


def _readdress(model: Path, run_id: str, logged) -> None:
    """Says in the model's own file which run and logged model it belongs to there."""
    path = model / "MLmodel"
    description = yaml.safe_load(path.read_text(encoding="utf-8"))
    description |= {"run_id": run_id, "model_id": logged.model_id, "artifact_path": logged.artifact_location}
    path.write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")
