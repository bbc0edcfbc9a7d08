"""Versions of registered models and their aliases: `candidate`, `champion`, `previous`.

`previous` is moved before `champion`, so that a crash between the two leaves a champion that is still the old one.
"""

from mlflow import MlflowClient, MlflowException, register_model

from mmvid.runs import Finished


def register(name: str, run: Finished) -> str:
    """The version of a registered model that holds a run's model; registered now if it is not yet.

    Returns:
        The version's number; the alias `candidate` points to it.

    Raises:
        ValueError: if the run has no model.
    """
    uri, client = model_uri(run), MlflowClient()
    version = _registered(client, name, run)
    if version is None:
        tags = {"mmvid.key": run.tags["mmvid.key"], "mmvid.run": run.id}
        version = register_model(uri, name, tags=tags).version
    client.set_registered_model_alias(name, "candidate", version)
    return str(version)


def model_uri(run: Finished) -> str:
    """Where a run's model is.

    Raises:
        ValueError: if the run has none.
    """
    uri = run.tags.get("mmvid.model")
    if uri is None:
        raise ValueError(f"run {run.id} must have a model to promote; it is a run of {run.tags.get('mmvid.entry')}")
    return uri


def aliased(name: str, alias: str) -> str | None:
    """The version that an alias points to, or None."""
    try:
        return str(MlflowClient().get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no such model, no such alias
            return None
        raise  # a registry that cannot be reached has a champion all the same


def crown(name: str, version: str) -> None:
    """Makes a version the champion; the old champion becomes `previous`."""
    client, old = MlflowClient(), aliased(name, "champion")
    if old is not None and old != version:
        client.set_registered_model_alias(name, "previous", old)
    client.set_registered_model_alias(name, "champion", version)


def roll_back(name: str) -> tuple[str, str]:
    """Makes `previous` the champion again, and the champion `previous`: done twice, nothing has changed.

    Returns:
        The version that was champion and the one that is now.

    Raises:
        ValueError: if there is no champion or no previous.
    """
    old, new = aliased(name, "champion"), aliased(name, "previous")
    if old is None or new is None:
        raise ValueError(f"{name} must have a champion and a previous version to roll back, it has {old} and {new}")
    crown(name, new)
    return old, new


def note(name: str, version: str, passed: bool, reasons: tuple[str, ...]) -> None:
    """Writes the gate's verdict onto the version, where the registry's page shows it."""
    client = MlflowClient()
    client.set_model_version_tag(name, version, "mmvid.gate", "passed" if passed else "refused")
    client.update_model_version(name, version, description="\n".join(f"- {reason}" for reason in reasons))


def _registered(client: MlflowClient, name: str, run: Finished) -> str | None:
    found = client.search_model_versions(f"name = '{name}' and tags.`mmvid.run` = '{run.id}'")
    return str(found[0].version) if found else None
