"""A packaged ensemble behind HTTP: the same records and answers as those of a classifier, see `serving`.

A record may have any key that a member reads; a member that finds nothing in it scores a video of which nothing is
known, as it does where such a video is in a data set.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmvid import ensemble_package, serving
from mmvid.ensemble_package import EnsemblePackage
from mmvid.logged import log_package, package_of
from mmvid.packaging import Package
from mmvid.requests import BadRequest
from mmvid.serving import RequestOptions, Service


class EnsembleService(Service):
    """Checked records to answers, by way of a service a member."""

    def __init__(self, package: EnsemblePackage):
        self.package = package
        self.services = [Service(member) for member in package.members]
        self.keys = {key: value for service in self.services for key, value in service.keys.items()}
        texts = (key for service in self.services for key in service.text_keys)
        self.text_keys = list(dict.fromkeys(texts))
        self.known = ["id", *self.keys, *self.text_keys, *(["language"] if self.text_keys else []), "options"]

    def _checked(self, records: list[dict[str, Any]]) -> tuple[list[RequestOptions], np.ndarray]:
        if not records:
            raise BadRequest("inputs must hold at least one record, got none")
        options = [self._options(row, record) for row, record in enumerate(records)]
        given = []
        for row, record in enumerate(records):
            self._check_keys(row, record)
            given.append([service.read(row, record) for service in self.services])
            self._check_found(row, given[-1])
        members = [
            service.score(list(own)) for service, own in zip(self.services, zip(*given, strict=True), strict=True)
        ]
        return options, self.blend(torch.stack([torch.from_numpy(scores) for scores in members])).numpy()

    @torch.inference_mode()
    def blend(self, scores: Tensor) -> Tensor:
        """Members' scores (M, B, C) to the ensemble's, (B, C)."""
        return self.package.model.blended(scores)


def open_service(folder: Path) -> EnsembleService:
    """The service of an ensemble's package folder."""
    return EnsembleService(ensemble_package.load(folder))


def service_of(package: Package | EnsemblePackage) -> Service:
    """What answers for a package of either kind."""
    return EnsembleService(package) if isinstance(package, EnsemblePackage) else Service(package)


def input_example(package: EnsemblePackage) -> list[dict[str, Any]]:
    """A request of one record with all that the members read."""
    record: dict[str, Any] = {}
    for member in package.members:
        record |= serving.input_example(member)[0]
    for spec in package.schema.features.values():
        if spec.frames in record:  # members that read the mean make it of the frames
            record.pop(spec.mean, None)
    return [record]


def log_model(package: EnsemblePackage, folder: Path, requirements: list[str]) -> str:
    """Logs an ensemble's folder as a pyfunc model of the active run; see `serving.log_model`."""
    kinds = {key: kind for member in package.members for key, kind in serving.kinds(member).items()}
    settings = {"keys": kinds, "dense": False}
    return log_package(package.name, "served_ensemble.py", folder, input_example(package), requirements, settings)


def load_logged(uri: str) -> Package | EnsemblePackage:
    """The classifier or ensemble inside a logged or registered model, such as `models:/mmvid-classifier@champion`.

    Raises:
        ValueError: if there is no such model, or it is none of ours.
    """
    return ensemble_package.load_any(package_of(uri, "a model"))
