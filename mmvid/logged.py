"""A package folder inside an MLflow model: logged with our code beside it, and fetched again."""

from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

import mmvid
from mmvid.artifacts import local_path
from mmvid.console import shielded


def log_package(
    name: str,
    script: str,
    folder: Path,
    example: list[dict[str, Any]],
    requirements: list[str],
    settings: dict[str, Any] | None = None,
) -> str:
    """Logs a package folder as a pyfunc model of the active run, with our code beside it; the model's URI.

    Args:
        name: the model's.
        script: our script that MLflow runs to load it.
        folder: what the script finds as the artifact `package`.
        example: a request.
        requirements: pinned requirements of the serving environment.
        settings: the script's model config.
    """
    code = Path(mmvid.__file__).parent
    with shielded():
        info = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(code / script),
            artifacts={"package": str(folder)},
            model_config=settings,
            code_paths=[str(code)],
            input_example=example,
            pip_requirements=requirements,
        )
    return info.model_uri


def package_of(uri: str, kind: str) -> Path:
    """The package folder inside a logged or registered model; `kind` is what an error says that it must be."""
    try:
        folder = local_path(uri)
    except MlflowException as error:
        raise ValueError(f"{uri} must name a model on {mlflow.get_tracking_uri()}: {error.message}") from error
    found = sorted((folder / "artifacts").glob("*/config.json"))
    if not found:
        raise ValueError(f"{uri} must be {kind} that mmvid logged; it has no package inside")
    return found[0].parent
