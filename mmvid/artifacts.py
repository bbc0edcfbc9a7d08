"""Artifacts as files of this machine: where they lie, or, if that is elsewhere, copies that go when the process does.

MLflow's own `download_artifacts` copies a run's artifacts anew at each call, from a local folder too, and leaves every
copy behind.
"""

import functools
import tempfile
from pathlib import Path

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository


def local_path(uri: str, name: str = "") -> Path:
    """The artifact below an address, such as a run's `artifact_uri` or `models:/name@alias`; all of it without a name.

    Raises:
        MlflowException: if the address leads nowhere, or there is no such artifact.
    """
    repository = get_artifact_repository(uri)
    # What models:/ stands for may be a local folder, too.
    local = isinstance(getattr(repository, "repo", repository), LocalArtifactRepository)
    destination = None if local else tempfile.mkdtemp(dir=_copies().name)
    return Path(repository.download_artifacts(name, destination))


@functools.cache
def _copies() -> tempfile.TemporaryDirectory:
    """The folder of this process's copies, which goes when the process does."""
    return tempfile.TemporaryDirectory(prefix="mmvid-artifacts-")
