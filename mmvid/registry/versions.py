"""Versions of registered models and their aliases: `candidate`, `champion`, `previous`.

Two aliases cannot be moved in one step. What is going to be moved is written down first, as a tag of the registered
model, and moved then: whoever comes after a crash finds the tag and ends the work. Moves are made by the holder of the
model's claim only, and only from the state that was decided upon, so of promotions at once exactly one wins.
"""

import json
import sys

from mlflow import MlflowClient, MlflowException, register_model

from mmvid.registry.claim import Claim, claimed
from mmvid.runs import Finished, load_run

ALIASES = ("candidate", "champion", "previous")
INTENT = "mmvid.moving"  # tag of a registered model: the aliases that are being moved, as JSON
CROWNED = "mmvid.crowned"  # tag of a version that is or was champion
LONGEST = 5000  # characters of a description or a tag that MLflow's databases hold
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def register(name: str, run: Finished) -> str:
    """The version of a registered model that holds a run's model; registered now if it is not yet.

    Returns:
        The version's number; the alias `candidate` points to it.

    Raises:
        ValueError: if the run has no model.
    """
    uri, client = model_uri(run), MlflowClient()
    with claimed(client, name):  # or two promotions of one run would make two versions
        version = version_of(name, run)
        if version is None:
            tags = {"mmvid.key": run.tags["mmvid.key"], "mmvid.run": run.id}
            version = register_model(uri, name, tags=tags).version
        client.set_registered_model_alias(name, "candidate", version)
    return str(version)


def version_of(name: str, run: Finished) -> str | None:
    """The version that holds a run's model, or None."""
    found = MlflowClient().search_model_versions(f"name = '{name}' and tags.`mmvid.run` = '{run.id}'")
    return str(found[0].version) if found else None


def run_behind(model: str) -> Finished:
    """The run whose model a registered version holds, as it is now: an alias may point elsewhere tomorrow.

    Args:
        model: `models:/name/version` or `models:/name@alias`.

    Raises:
        ValueError: if there is no such version, or its run is gone.
    """
    name, at, alias = model.removeprefix("models:/").partition("@")
    client = MlflowClient()
    try:
        if at:
            version = client.get_model_version_by_alias(name, alias)
        else:
            name, _, number = name.rpartition("/")
            version = client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code not in _MISSING:
            raise
        raise ValueError(f"there must be a registered model version {model}, there is none") from error
    return load_run(version.run_id or version.tags["mmvid.run"])


def model_uri(run: Finished) -> str:
    """Where a run's model is.

    Raises:
        ValueError: if the run has none.
    """
    uri = run.tags.get("mmvid.model")
    if uri is None:
        raise ValueError(f"run {run.id} must have a model to promote; it is a run of {run.tags.get('mmvid.entry')}")
    return uri


def aliased(name: str, alias: str, client: MlflowClient | None = None) -> str | None:
    """The version that an alias points to, or None."""
    try:
        return str((client or MlflowClient()).get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if error.error_code in _MISSING:  # no such model, no such alias
            return None
        raise  # a registry that cannot be reached has a champion all the same


def run_of(name: str, version: str) -> str:
    """The id of the run that a version came from."""
    return MlflowClient().get_model_version(name, version).run_id


def crown(name: str, version: str, *, expected: str | None, client: MlflowClient | None = None) -> bool:
    """Makes a version the champion, if the champion is still the one that it was held against.

    Args:
        name: the registered model.
        version: the version.
        expected: the champion that the decision was made against, or None for none; it becomes `previous`.
        client: of another server.

    Returns:
        False if there is another champion by now: the decision is void and must be made again.
    """
    client = client or MlflowClient()
    with claimed(client, name) as claim:
        _finish(client, name)
        champion = aliased(name, "champion", client)
        if champion != expected:
            return False
        if champion != version:
            client.set_model_version_tag(name, version, CROWNED, "True")
            _move(claim, {"champion": version} if champion is None else {"previous": champion, "champion": version})
    return True


def roll_back(name: str) -> tuple[str, str]:
    """Makes `previous` the champion again, and the champion `previous`: done twice, nothing has changed.

    Returns:
        The version that was champion and the one that is now.

    Raises:
        ValueError: if there is no champion or no previous.
    """
    client = MlflowClient()
    with claimed(client, name) as claim:
        _finish(client, name)
        old, new = aliased(name, "champion"), aliased(name, "previous")
        if old is None or new is None:
            raise ValueError(f"{name} must have a champion and a previous version to roll back, it has {old} and {new}")
        _move(claim, {"previous": old, "champion": new})
    return old, new


def repair(name: str) -> str | None:
    """Ends a move of aliases that a crash cut in two.

    Returns:
        One sentence where there was something to end, else None.
    """
    client = MlflowClient()
    if intent(name, client) is None:  # the usual case takes no claim
        return None
    with claimed(client, name):
        return _finish(client, name)


def intent(name: str, client: MlflowClient | None = None) -> dict[str, str] | None:
    """The aliases that are being moved, alias -> version, or None."""
    try:
        text = (client or MlflowClient()).get_registered_model(name).tags.get(INTENT)
    except MlflowException as error:
        if error.error_code in _MISSING:
            return None
        raise
    return json.loads(text) if text else None


def note(name: str, version: str, description: str, tags: dict[str, str]) -> None:
    """Writes a model card and tags onto the version, where the registry's page shows them."""
    client = MlflowClient()
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value[:LONGEST])
    client.update_model_version(name, version, description=description)


def was_crowned(name: str, version: str) -> bool:
    """Whether a version is or was champion; its card says why."""
    return CROWNED in MlflowClient().get_model_version(name, version).tags


def note_refusal(name: str, version: str, promotion: str) -> None:
    """Notes on a former champion which promotion refused it since; its card and tags stay those of its own gate."""
    MlflowClient().set_model_version_tag(name, version, "mmvid.refused_since", promotion)


def _move(claim: Claim, aliases: dict[str, str]) -> None:
    """Writes down what is moved, moves it in that order, and strikes it out."""
    client, name = claim.client, claim.name
    client.set_registered_model_tag(name, INTENT, json.dumps(aliases))
    for alias, version in aliases.items():
        claim.check()
        client.set_registered_model_alias(name, alias, version)
    client.delete_registered_model_tag(name, INTENT)


def _finish(client: MlflowClient, name: str) -> str | None:
    aliases = intent(name, client)
    if aliases is None:
        return None
    said = ", ".join(f"{alias} is version {version}" for alias, version in aliases.items())
    try:
        for alias, version in aliases.items():
            client.set_registered_model_alias(name, alias, version)
        sentence = f"{name}: a move of aliases that was cut off is ended: {said}"
    except MlflowException as error:
        if error.error_code not in _MISSING:
            raise
        sentence = f"{name}: a move of aliases that was cut off cannot be ended, a version is gone: {said}"
    client.delete_registered_model_tag(name, INTENT)
    sys.stderr.write(f"{sentence}\n")
    return sentence
