"""What is scored in bulk: a split of a store, or TFRecords straight from their shards; in parts of bounded size.

A part is a fixed run of rows or records, so that whoever goes on after a kill makes the very same parts.
"""

import collections
import itertools
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch

from mmvid import experiment, storage
from mmvid.bulk.parts import Parts, Scored, joined
from mmvid.ensemble.model import MemberWords
from mmvid.ensemble_package import EnsemblePackage
from mmvid.ensemble_serving import EnsembleService, service_of
from mmvid.metrics.ranked import best_classes
from mmvid.packaging import Package
from mmvid.records.segments import decode_rows
from mmvid.records.store import Store
from mmvid.records.video import BadRecord, Video
from mmvid.records.words import Words
from mmvid.serving import Given
from mmvid.storage import File
from mmvid.tfrecords import framing
from mmvid.tfrecords.example import Parser

PART = 4096  # rows or records of a part
BATCH = 256  # videos that are scored at once
RECORDS = 64  # that are held at once: of YouTube-8M's frames 22 MB
_ENDINGS = (".tfrecord", ".tfrecord.gz")


class Source(Protocol):
    """Videos to score.

    Attributes:
        total: how many there are, or None if that is not known before.
        plan: what tells it from another source, as JSON values.
    """

    total: int | None
    plan: dict[str, object]

    def score(self, parts: Parts, kept: int) -> Iterator[int]:
        """Makes the parts that are not there yet; yields how many videos or segments are done, a batch at a time."""
        ...


class StoreSplit:
    """A split of a store."""

    def __init__(self, package: Package | EnsemblePackage, store: Store, split: str, words: Words | MemberWords):
        """
        Args:
            package: what scores.
            store: a data set that it can read.
            split: the split.
            words: the words that it reads.

        Raises:
            ValueError: if the split has no videos.
        """
        self.total = store.table(split).num_rows
        self.plan = {"data": store.digest, "split": split}
        self.model = package.model.eval()
        self.loader = experiment.batches(store, split, package.model, BATCH, words=words)

    def score(self, parts: Parts, kept: int) -> Iterator[int]:
        for start in range(0, self.total, PART):
            rows = np.arange(start, min(start + PART, self.total))
            name = f"{start // PART:08d}"
            if parts.has(name):
                yield len(rows)
                continue
            found = []
            for begin in range(0, len(rows), BATCH):
                batch = self.loader.read(rows[begin : begin + BATCH])
                with torch.inference_mode():
                    scores = self.model(batch).float()
                found.append(_best(list(batch.ids), None, scores, kept))
                yield len(batch)
            parts.write(name, joined(found))


class Shards:
    """TFRecords as they lie on disk or on S3; their records are those of the model's own data set, labels or none."""

    def __init__(self, package: Package | EnsemblePackage, place: str, classes: np.ndarray | None = None):
        """
        Args:
            package: what scores; a model that reads titles and keywords finds none here.
            place: a file, a folder, a pattern, on disk or s3://; or a list of such with commas.
            classes: among which the best are kept, ascending; None for all.

        Raises:
            ValueError: if there are no TFRecords.
        """
        self.total, self.files = None, find_shards(place)
        self.plan = {"shards": [[file.place, file.size, file.version] for file in self.files]}
        if classes is not None:
            self.plan["classes"] = classes.tolist()
        self.classes = np.arange(len(package.labels)) if classes is None else classes
        self.schema, self.service = package.schema, service_of(package)
        self.parse = Parser().parse

    def score(self, parts: Parts, kept: int) -> Iterator[int]:
        for number, file in enumerate(self.files):
            records = framing.read_records(file)
            for window in itertools.count():
                name = f"{number:05d}-{window:06d}"
                if parts.has(name):
                    collections.deque(itertools.islice(records, PART), maxlen=0)
                    yield parts.rows(name)
                    continue
                found = []
                own = itertools.islice(records, PART)
                while some := list(itertools.islice(own, RECORDS)):
                    videos = [video for offset, payload in some for video in self._decode(file, offset, payload)]
                    for begin in range(0, len(videos), BATCH):
                        found.append(self._score(videos[begin : begin + BATCH], kept))
                        yield len(found[-1].ids)
                if not found:
                    break
                parts.write(name, joined(found))

    def _decode(self, file: File, offset: int, payload: bytes) -> list[Video]:
        try:
            return decode_rows(self.schema, payload, self.parse)
        except BadRecord as error:
            raise error.at(file, offset) from error

    def _score(self, videos: list[Video], kept: int) -> Scored:
        if isinstance(self.service, EnsembleService):
            members = [service.score([given(v, service.package) for v in videos]) for service in self.service.services]
            scores = self.service.blend(torch.stack([torch.from_numpy(each) for each in members]))
        else:
            scores = torch.from_numpy(self.service.score([given(v, self.service.package) for v in videos]))
        starts = None if self.schema.segments is None else np.array([video.start for video in videos], np.int32)
        found = _best([video.id for video in videos], starts, scores[:, self.classes], kept)
        return found._replace(classes=self.classes[found.classes].astype(np.int32))


def given(video: Video, package: Package) -> Given:
    """What a classifier reads of a video, as of a request.

    Raises:
        ValueError: if it reads frames and the record has their mean only.
    """
    found = {}
    for modality in package.model.modalities:
        framed = package.level(modality) == "frames"
        held = video.frames if framed else video.features
        if modality in held:
            found[modality] = held[modality]
        elif framed and modality in video.features:
            raise ValueError(
                f"{package.name} reads frames of {modality}, the record of {video.id!r} has their mean only"
            )
    return Given(found, {})


def find_shards(place: str) -> list[File]:
    """The TFRecords that a place names, in order.

    Raises:
        ValueError: if there is none, or one twice.
    """
    found: list[File] = []
    for item in (word.strip() for word in place.split(",")):
        if storage.is_pattern(item):
            files = storage.match_files(item)
        else:
            one = storage.find_file(item)
            files = [one] if one is not None else storage.list_files(item)
        files = [file for file in files if file.name.endswith(_ENDINGS)]
        if not files:
            raise ValueError(f"shards must be files ending in {' or '.join(_ENDINGS)}, there is none at {item!r}")
        found += files
    places = [storage.absolute(file.place) for file in found]
    for number, at in enumerate(places):
        if at in places[:number]:
            raise ValueError(f"shards name {at} twice")
    return found


def _best(ids: list[str], starts: np.ndarray | None, scores: torch.Tensor, kept: int) -> Scored:
    values, classes = best_classes(scores, kept)
    return Scored(ids, starts, classes.int().numpy(), values.numpy())
