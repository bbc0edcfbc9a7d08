"""What the manifests of all stores share: `manifest.json`, which is written last and names all other files.

A folder without one is no store, or not yet. One that has it is whole, unless files were taken away or cut since, which
`check_files` tells by their sizes.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from pydantic import ValidationError

from mmvid.config import Options, explain
from mmvid.durable import replacing

NAME = "manifest.json"


class StoredManifest(Options):
    """A manifest that is kept as `manifest.json`; each kind of store has a class with its own fields.

    Attributes:
        of: what the folder is, for sentences.
        writer: what writes it.
        mark: a key that manifests of other kinds do not have.
    """

    of: ClassVar[str]
    writer: ClassVar[str] = "an ingest"
    mark: ClassVar[str]

    def plain(self) -> dict[str, Any]:
        """The manifest as JSON values."""
        return self.model_dump(mode="json", by_alias=True)

    def write(self, folder: Path) -> None:
        """Writes the file: with it the store is complete."""
        with replacing(folder / NAME) as path:
            path.write_text(json.dumps(self.plain(), indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads and checks the file.

        Raises:
            ValueError: if there is none, or it is not one of this kind and format; the sentence names it.
        """
        path = folder / NAME
        if not path.is_file():
            raise ValueError(f"{folder} is not {cls.of}: it has no {NAME} ({cls.writer} writes it last)")
        try:
            content = json.loads(path.read_bytes())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not JSON: {error}") from None
        if not isinstance(content, dict):
            raise ValueError(f"{path}: a manifest must be an object, got {type(content).__name__}")
        if cls.mark not in content:
            raise ValueError(f"{path}: not the manifest of {cls.of}, it has no {cls.mark!r}")
        if content.get("format") != (known := cls.model_fields["format"].default):
            raise ValueError(f"{path}: the store's format must be {known}, got {content.get('format')!r}")
        try:
            return cls(**content)
        except ValidationError as error:
            raise ValueError(f"{path}: {explain(error)}") from None


class Listed(Protocol):
    """A file as a manifest lists it."""

    name: str
    bytes: int
    digest: str


def check_files(folder: Path, files: Iterable[Listed], of: str = "store") -> None:
    """Checks that the files of a store are there, by their sizes.

    Args:
        folder: where they lie.
        files: as its manifest lists them.
        of: what it is, for the sentence.

    Raises:
        ValueError: if one is missing or of another size; it is named.
    """
    for file in files:
        path = folder / file.name
        if not path.is_file():
            raise ValueError(f"{path}: the {of}'s file is missing")
        if (size := path.stat().st_size) != file.bytes:
            raise ValueError(f"{path}: the {of}'s file must have {file.bytes} bytes, it has {size}")


def verify_files(folder: Path, files: Iterable[Listed]) -> None:
    """Reads the files of a store and holds them against their digests.

    Raises:
        ValueError: names the first file whose bytes are not those that were written.
    """
    for file in files:
        if (digest := digest_of(folder / file.name)) != file.digest:
            raise ValueError(f"{folder / file.name}: the digest is {digest}, the manifest says {file.digest}")


def digest_of(path: Path) -> str:
    """The BLAKE2b of a file's bytes, as manifests list it and runs tag it."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
