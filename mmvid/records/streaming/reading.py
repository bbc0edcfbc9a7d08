"""Records of shards at known places: read once each, watched while they are read, counted where they are damaged."""

import contextlib
import dataclasses
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np

from mmvid import storage
from mmvid.records.manifest import OnError
from mmvid.records.payloads import parse_record, read_video
from mmvid.records.schema import Problem, Schema
from mmvid.records.video import BadRecord, Video
from mmvid.storage import File
from mmvid.tfrecords.example import Parser
from mmvid.tfrecords.framing import CorruptRecord, RecordFile, opened_records, read_records

STALL_SECONDS = 30.0
_OPEN = 8  # shards: twice as many as are read in turns, so that few are opened again


@dataclasses.dataclass(frozen=True, eq=False)
class Shard:
    """A TFRecord file and the places of the videos to read from it.

    Attributes:
        file: as it was when it was listed; one that has changed since is refused.
        name: what it is called in its data set, such as `train/train0001.tfrecord`.
        offsets: the byte at which each record begins, uncompressed, ascending int64 (N,).
    """

    file: File
    name: str
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets)


def scan(file: File, name: str = "") -> Shard:
    """A shard of which all records are wanted; it is read once for their places and checksums.

    Raises:
        CorruptRecord: at the first damaged record. OSError: if the file cannot be read.
    """
    offsets = [offset for offset, _ in read_records(file)]
    return Shard(file, name or file.name, np.array(offsets, np.int64))


class Watch:
    """Tells of reads that take long, while they do: a disk or a server that hangs says nothing by itself.

    Attributes:
        stalls: the reads that took longer than `seconds`.
    """

    def __init__(self, seconds: float):
        if seconds <= 0:
            raise ValueError(f"stall_seconds must be more than 0, got {seconds}")
        self.seconds, self.stalls = seconds, 0
        self._reading: tuple[str, int, float] | None = None
        self._over = threading.Event()

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._thread.join()

    def begin(self, file: str, offset: int) -> None:
        self._reading = (file, offset, time.monotonic())

    def end(self) -> None:
        self._reading = None

    def _look(self) -> None:
        told = None
        while not self._over.wait(self.seconds / 4):
            reading = self._reading
            if reading is None or reading is told:
                continue
            file, offset, since = reading
            if (spent := time.monotonic() - since) > self.seconds:
                told = reading
                self.stalls += 1
                sys.stderr.write(f"{file}: reading the record at byte {offset} takes {spent:.0f} s by now\n")


class Reader:
    """Videos of shards by number. Their frames are views of the record, which is held as long as they are.

    Attributes:
        skipped: what was wrong with those that could not be read, where `on_error` is `skip`; whoever tells of them
            clears the list.
    """

    def __init__(self, schema: Schema, shards: list[Shard], kinds: dict[str, str], on_error: OnError, watch: Watch):
        """
        Args:
            kinds: modality -> `uint8` or `float`, what its frames must be.
        """
        self.schema, self.shards, self.kinds, self.on_error, self.watch = schema, shards, kinds, on_error, watch
        self.skipped: list[Problem] = []
        self._open: dict[int, tuple[contextlib.ExitStack, RecordFile]] = {}
        self._parse = Parser().parse

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_) -> None:
        for shard in list(self._open):
            self._close(shard)

    def read(self, shard: int, video: int) -> Video | None:
        """A video; None if it is damaged and `on_error` is `skip`.

        Raises:
            CorruptRecord, BadRecord: if it is damaged and `on_error` is `stop`; the file and the byte are named.
            ValueError: if the file has changed. OSError: if it cannot be read.
        """
        found = self.shards[shard]
        offset = int(found.offsets[video])
        self.watch.begin(found.file.place, offset)
        try:
            return self._decoded(self._file(shard).read(offset))
        except BadRecord as error:
            self._skip(error.at(found.file, offset))
        except CorruptRecord as error:
            self._skip(error)
        finally:
            self.watch.end()
        return None

    def _decoded(self, payload: bytes) -> Video:
        video = read_video(self.schema, parse_record(payload, self._parse), views=True)
        for modality, rows in video.frames.items():
            kind = "uint8" if rows.dtype == np.uint8 else "float"
            if self.kinds.get(modality) != kind:
                what = f"frames of {modality!r} are {kind}, those of the data set {self.kinds.get(modality, 'absent')}"
                raise BadRecord("frames", what, video.id)
        return video

    def _skip(self, error: Problem) -> None:
        if self.on_error == "stop":
            raise error
        self.skipped.append(error)

    def _file(self, shard: int) -> RecordFile:
        if shard not in self._open:
            if len(self._open) == _OPEN:
                self._close(next(iter(self._open)))
            file = self.shards[shard].file
            storage.check_unchanged(file)
            stack = contextlib.ExitStack()
            self._open[shard] = stack, stack.enter_context(opened_records(file))
        return self._open[shard][1]

    def _close(self, shard: int) -> None:
        self._open.pop(shard)[0].close()


def frame_kinds(schema: Schema, shards: list[Shard]) -> dict[str, str]:
    """What the frames of each modality are, `uint8` or `float`, by the first video that can be read.

    None at video level. Of a modality that this video lacks, frames are bytes.
    """
    for shard in shards:
        for video in _videos(schema, shard):
            kinds = {m: "uint8" if rows.dtype == np.uint8 else "float" for m, rows in video.frames.items()}
            return {m: kinds.get(m, "uint8") for m, spec in schema.features.items() if spec.frames} if kinds else {}
    return {}


def _videos(schema: Schema, shard: Shard) -> Iterator[Video]:
    with opened_records(shard.file) as file:
        for offset in shard.offsets.tolist():
            with contextlib.suppress(BadRecord, CorruptRecord):
                yield read_video(schema, parse_record(file.read(offset)), views=True)
