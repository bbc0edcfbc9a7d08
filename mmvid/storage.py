"""Files to read, on disk or on S3 (`s3://bucket/key`): listed, known again, and opened as streams.

S3 takes its keys and its endpoint from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for a server
other than Amazon's, AWS_ENDPOINT_URL_S3 or MLFLOW_S3_ENDPOINT_URL. A request that fails for a passing reason is made
`ATTEMPTS` times in all, and a stream that breaks is opened again where it broke, five times for each piece; the waits
between them grow. What fails then is told in one sentence with the file's place, and without any key.
"""

import contextlib
import fnmatch
import functools
import glob
import io
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

ATTEMPTS = 5
REMOTE_MODULES = ("boto3", "smart_open.s3")  # what reading from S3 imports, and takes a second for

_NEAR = 8 * 1024 * 1024  # bytes that are sooner read than passed over by a new request
_SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]+")
_MAGIC = re.compile(r"[*?\[]")
_GONE = ("404", "NoSuchKey", "NoSuchBucket", "NotFound")
_REFUSED = ("401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")
_CHANGED = ("412", "PreconditionFailed")

T = TypeVar("T")


@dataclass(frozen=True)
class File:
    """A file as it was when it was listed.

    Attributes:
        place: its path, or its URI on S3.
        size: bytes.
        version: its time of change (ns), or its ETag: what tells it from another of the same place and size.
    """

    place: str
    size: int
    version: int | str

    def __str__(self) -> str:
        return self.place

    def __fspath__(self) -> str:
        return self.place

    @property
    def name(self) -> str:
        return name_of(self.place)


def is_remote(place: str | os.PathLike) -> bool:
    """Whether a place is on S3."""
    return os.fspath(place).startswith(_SCHEME)


def is_pattern(place: str) -> bool:
    """Whether a place has `*`, `?` or `[...]` and is no file's or folder's own name."""
    return bool(_MAGIC.search(place)) and (is_remote(place) or not Path(place).exists())


def absolute(place: str | os.PathLike) -> str:
    """The place as any process finds it."""
    return os.fspath(place).rstrip("/") if is_remote(place) else os.path.abspath(place)


def join(folder: str, name: str) -> str:
    """The place of `name` in a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else str(Path(folder, name))


def name_of(place: str) -> str:
    """The last part of a place."""
    return place.rstrip("/").rpartition("/")[2]


def parent_of(place: str) -> str:
    """The folder of a place."""
    return place.rstrip("/").rpartition("/")[0] if is_remote(place) else str(Path(place).parent)


def find_file(place: str | os.PathLike) -> File | None:
    """The file of a place, or None if there is none.

    Raises:
        OSError: if it cannot be told.
    """
    place = os.fspath(place)
    if not is_remote(place):
        return _local(Path(place)) if Path(place).is_file() else None
    bucket, key = _parts(place)
    with contextlib.suppress(FileNotFoundError):
        head = _asked(place, lambda: _client(_endpoint()).head_object(Bucket=bucket, Key=key))
        return File(place, head["ContentLength"], head["ETag"])
    return None


def list_files(folder: str | os.PathLike) -> list[File]:
    """The files of a folder in the order of their names, hidden ones excepted; none where there is no folder."""
    folder = os.fspath(folder)
    if is_remote(folder):
        found = _listed(folder.rstrip("/") + "/", delimiter="/")
    else:
        found = map(_local, filter(Path.is_file, Path(folder).iterdir())) if Path(folder).is_dir() else []
    return sorted((file for file in found if not file.name.startswith(".")), key=lambda file: file.name)


def list_tree(folder: str | os.PathLike) -> list[File]:
    """The files below a folder, in it and in those below, in the order of their places; hidden ones excepted."""
    folder = os.fspath(folder)
    start = absolute(folder) + "/"
    found = _listed(start) if is_remote(folder) else map(_local, filter(Path.is_file, Path(folder).rglob("*")))
    parts = ((file, absolute(file.place).removeprefix(start).split("/")) for file in found)
    return sorted((file for file, names in parts if not any(name.startswith(".") for name in names)), key=_place)


def match_files(pattern: str) -> list[File]:
    """The files that a pattern names, in the order of their places; `*`, `?` and `[...]` stand for no slash."""
    if not is_remote(pattern):
        paths = map(Path, glob.glob(pattern))
        return sorted((_local(path) for path in paths if path.is_file()), key=lambda file: file.place)
    parts = pattern.split("/")
    beginning = pattern[: _MAGIC.search(pattern).start()]
    return [file for file in _listed(beginning) if _fits(file.place.split("/"), parts)]


def fixed_part(pattern: str) -> str:
    """The folder above a pattern's first part that has a wild card."""
    head, slash, _ = pattern[: _MAGIC.search(pattern).start()].rpartition("/")
    return head or slash or "."


@contextlib.contextmanager
def opened(file: File | str | os.PathLike, buffering: int = io.DEFAULT_BUFFER_SIZE) -> Iterator[BinaryIO]:
    """Opens a file as a stream; it is never held as a whole. What was listed must be there, and on S3 unchanged.

    Raises:
        OSError: also while it is read; on S3 the sentence names the file.
    """
    place = os.fspath(file)
    if is_remote(place):
        with _Stream(place, file.version if isinstance(file, File) else None) as raw:
            with io.BufferedReader(raw, buffering) as stream:
                yield stream
        return
    try:
        stream = open(place, "rb", buffering=buffering)
    except FileNotFoundError:
        if isinstance(file, File):
            raise _gone(place) from None
        raise
    with stream:
        yield stream


def size_of(file: File | str | os.PathLike, stream: BinaryIO) -> int:
    """The bytes of a file that is open; of a pipe or the like, more than there can be."""
    if isinstance(file, File):
        return file.size
    if is_remote(file):
        return find_file(file).size
    status = os.fstat(stream.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else 1 << 63


def check_unchanged(file: File) -> None:
    """Raises if a file is not as it was listed.

    Raises:
        ValueError: if it changed. FileNotFoundError: if it is gone.
    """
    now = find_file(file)
    if now is None:
        raise _gone(file.place)
    if now != file:
        raise ValueError(_changed(file.place))


class _Stream(io.RawIOBase):
    """An object on S3 as a raw stream; smart_open asks for ranges and opens it again where it breaks."""

    def __init__(self, place: str, version: int | str | None):
        import smart_open.s3  # it and boto3 take time and memory that only S3 is worth

        super().__init__()
        self._place = place
        self._source: BinaryIO | None = None
        bucket, key = _parts(place)
        # An object that is replaced while it is read must not give the one's beginning and the other's end.
        fixed = {} if version is None else {"S3.Client.get_object": {"IfMatch": version}}
        client = _client(_endpoint())
        self._source = self._asked(lambda: smart_open.s3.open(bucket, key, "rb", client=client, client_kwargs=fixed))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._source.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves on by reading where that takes less than a new request."""
        ahead = offset - self._source.tell() if whence == io.SEEK_SET else -1
        if 0 <= ahead <= _NEAR:
            self._asked(lambda: self._source.read(ahead))
            return self._source.tell()
        return self._asked(lambda: self._source.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        data = self._asked(lambda: self._source.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None
        super().close()

    def _asked(self, request: Callable[[], T]) -> T:
        try:
            return _asked(self._place, request)
        except FileNotFoundError:
            raise _gone(self._place) from None


def _asked(place: str, request: Callable[[], T]) -> T:
    """What S3 answers to a request; a failure is one sentence about `place`."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return request()
    except BotoCoreError as error:
        raise OSError(f"{place}: S3 cannot be asked: {error}") from error
    except (ClientError, OSError) as error:  # smart_open keeps the client's error in an OSError of its own
        answer = error if isinstance(error, ClientError) else getattr(error, "backend_error", None)
        if answer is None:
            raise OSError(f"{place}: the connection to S3 broke again and again; start again to go on") from error
        code = str(answer.response.get("Error", {}).get("Code"))
    if code in _GONE:
        raise FileNotFoundError(f"{place}: there is no such object or bucket on S3")
    if code in _CHANGED:
        raise OSError(_changed(place))
    if code in _REFUSED:
        raise PermissionError(f"{place}: S3 refuses the keys of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY ({code})")
    raise OSError(f"{place}: S3 answers {code}, {ATTEMPTS} attempts of what may pass included")


def _listed(beginning: str, delimiter: str = "") -> list[File]:
    """The objects whose URIs begin so, up to the next `delimiter`, in the order of their keys."""
    bucket, prefix = _parts(beginning)
    pages = _client(_endpoint()).get_paginator("list_objects_v2")
    asked = pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter=delimiter)
    listed = _asked(beginning, lambda: [each for page in asked for each in page.get("Contents", [])])
    files = [File(f"{_SCHEME}{bucket}/{each['Key']}", each["Size"], each["ETag"]) for each in listed]
    return [file for file in files if not file.place.endswith("/")]  # consoles make such objects of empty folders


def _fits(parts: list[str], pattern: list[str]) -> bool:
    """Whether a place's parts fit a pattern's, one by one; as on disk, only a dot that is written fits a first dot."""
    return len(parts) == len(pattern) and all(
        fnmatch.fnmatchcase(part, wanted) and (wanted.startswith(".") or not part.startswith("."))
        for part, wanted in zip(parts, pattern, strict=True)
    )


def _parts(place: str) -> tuple[str, str]:
    bucket, _, key = place.removeprefix(_SCHEME).partition("/")
    if "@" in bucket:  # the place is not shown: before the @ would be a key
        raise ValueError("an s3:// address must not hold keys, they come from AWS_ACCESS_KEY_ID and its like")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"an address on S3 must be s3://bucket/key, {bucket!r} is not the name of a bucket")
    return bucket, key


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None


@functools.cache
def _client(endpoint: str | None) -> Any:
    """The client of this process; it may be shared by threads."""
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        connect_timeout=10,
        read_timeout=60,
        s3={"addressing_style": "path" if endpoint else "auto"},  # few servers of one's own have a name a bucket
    )
    return boto3.client("s3", endpoint_url=endpoint, config=config)


def _place(file: File) -> str:
    return file.place


def _local(path: Path) -> File:
    status = path.stat()
    return File(str(path), status.st_size, status.st_mtime_ns)


def _gone(place: str) -> FileNotFoundError:
    return FileNotFoundError(f"{place}: the file is gone, it was there when the data was listed")


def _changed(place: str) -> str:
    return f"{place}: the file changed while it was read; run the ingest again"
