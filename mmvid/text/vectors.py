"""Word vectors, memory-mapped behind gensim's KeyedVectors.

A file that was trained elsewhere (word2vec's binary or text format, plain or gzip, on disk or S3, or what gensim's
`KeyedVectors.save` wrote) is converted once, as a stream, to a folder that is mapped from then on:

    words.txt        the words, one a line, in the file's order
    vectors.npy      float32 (words, size); a link to gensim's own array where that is one
    manifest.json    format, digest of the file, where it came from, words that were left out and why

So Google News, 3 million words of 300 numbers, opens in seconds, and the processes of a machine share its memory.
No code is ever run from such a file.
"""

import gzip
import hashlib
import io
import json
import shutil
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from gensim.models import Word2Vec
from gensim.models.keyedvectors import KeyedVectors
from tqdm import tqdm

from mmvid import storage
from mmvid.durable import exclusively, replacing
from mmvid.text import keyed, word2vec

FORMAT = 1
_HEADER = 128  # bytes of vectors.npy before its numbers, whatever their number
_PICKLE = b"\x80"
_GZIP = b"\x1f\x8b"
_ROWS = 65536
_BLOCK = 1 << 20


class WordVectors:
    """Vectors of words.

    Attributes:
        keyed: gensim's view of them, for `most_similar` and its like; its array is mapped, not in memory.
        digest: of the file that they came from, or of what was trained.
        place: that file.
    """

    def __init__(self, keyed: KeyedVectors, digest: str, place: str):
        self.keyed, self.digest, self.place = keyed, digest, place

    @classmethod
    def open(cls, folder: Path) -> "WordVectors":
        """Opens a converted folder.

        Raises:
            ValueError: if it is none, or damaged.
        """
        manifest = _manifest(folder)
        try:
            vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
            words = (folder / "words.txt").read_bytes().decode().split("\n")[:-1]  # a word may have a carriage return
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder}: the converted word vectors are damaged, remove the folder: {error}") from None
        if vectors.shape != (len(words), manifest["size"]) or len(words) != manifest["words"]:
            shape = f"{len(words)} words, vectors {vectors.shape}"
            raise ValueError(f"{folder}: the converted word vectors are damaged, remove the folder: {shape}")
        opened = KeyedVectors(manifest["size"])
        opened.vectors = vectors
        opened.index_to_key = words
        opened.key_to_index = dict(zip(words, range(len(words)), strict=True))
        return cls(opened, manifest["digest"], manifest["place"])

    def __len__(self) -> int:
        return len(self.words)

    @property
    def size(self) -> int:
        """D, the numbers of a vector."""
        return self.keyed.vector_size

    @property
    def words(self) -> list[str]:
        return self.keyed.index_to_key

    def rows(self, words: Sequence[str]) -> np.ndarray:
        """The row of each word as it is spelt, int64 ``(N,)``; -1 where there is no vector of it."""
        known = self.keyed.key_to_index
        return np.fromiter((known.get(word, -1) for word in words), np.int64, len(words))

    def of(self, rows: np.ndarray) -> np.ndarray:
        """The vectors of rows, float32 ``(N, D)``, a copy.

        Raises:
            ValueError: if a row is none, as of a word without a vector.
        """
        rows = np.asarray(rows, np.int64)
        bad = rows[(rows < 0) | (rows >= len(self))]
        if len(bad):
            raise ValueError(f"rows must be at least 0 and below {len(self)}, the words of {self.place}, got {bad[0]}")
        return self.keyed.vectors[rows]

    def __getitem__(self, word: str) -> np.ndarray:
        """The vector of one word, float32 ``(D,)``.

        Raises:
            ValueError: if there is none.
        """
        row = self.keyed.key_to_index.get(word)
        if row is None:
            raise ValueError(f"{self.place} has no vector of {word!r}")
        return np.array(self.keyed.vectors[row])


def open_vectors(place: str, cache: Path) -> WordVectors:
    """The word vectors of a file on disk or S3, converted below `cache` when the file is first seen.

    Args:
        place: word2vec's binary or text format, plain or gzip; gensim's own; or a folder that was converted.
        cache: where conversions are kept; a file that changed is converted anew.

    Raises:
        ValueError: if it is no file of word vectors or is damaged. OSError: if it is not there or cannot be read.
    """
    place = storage.absolute(place)
    if not storage.is_remote(place) and (Path(place) / "manifest.json").is_file():
        return WordVectors.open(Path(place))
    file = storage.find_file(place)
    if file is None:
        raise FileNotFoundError(f"vectors must be a file of word vectors, there is none at {place}")
    beside = storage.find_file(f"{place}.vectors.npy")
    known = hashlib.blake2b(repr((file, beside)).encode(), digest_size=8).hexdigest()
    folder = cache / f"{storage.name_of(place).split('.')[0]}-{known}"
    with exclusively(folder.with_suffix(".lock"), f"vectors: another process converts {place}; waiting for it"):
        if not (folder / "manifest.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                _convert(file, beside, folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
    return WordVectors.open(folder)


def train_vectors(
    texts: Iterable[Sequence[str]],
    folder: Path,
    *,
    size: int = 100,
    window: int = 5,
    min_count: int = 2,
    epochs: int = 10,
    seed: int = 0,
) -> WordVectors:
    """Trains word2vec (skip-gram) on texts and opens the result; says so on standard error.

    One worker and a fixed seed: the same texts in the same order give the same vectors, bit by bit, on one machine.

    Args:
        texts: words of each text; it is iterated `epochs` + 1 times.
        folder: where the vectors are written.
        size: D, the numbers of a vector.
        window: words to either side that a word is to foretell.
        min_count: words that occur less often get no vector.
        epochs: passes over the texts.
        seed: of the weights and the draws.

    Raises:
        ValueError: if no word occurs `min_count` times.
    """
    sys.stderr.write("vectors: no file was given, so word vectors are trained on the data set's own text\n")
    model = Word2Vec(
        vector_size=size,
        window=window,
        min_count=min_count,
        sg=1,
        seed=seed,
        workers=1,
        hashfxn=lambda text: zlib.crc32(str(text).encode()),  # Python's own hash differs from process to process
    )
    model.build_vocab(texts)
    if not model.wv.index_to_key:
        raise ValueError(f"no word occurs {min_count} times in the texts, so no word vectors can be trained on them")
    model.train(texts, total_examples=model.corpus_count, epochs=epochs)
    folder.mkdir(parents=True, exist_ok=True)
    vectors = model.wv.vectors.astype(np.float32)
    digest = hashlib.blake2b(digest_size=16)
    digest.update("\n".join(model.wv.index_to_key).encode())
    digest.update(vectors.tobytes())
    chunk = [word.encode() for word in model.wv.index_to_key], vectors
    _write([chunk], folder, digest, str(folder))
    return WordVectors.open(folder)


def _convert(file: storage.File, beside: storage.File | None, folder: Path) -> None:
    sys.stderr.write(f"vectors: {file.place} is converted once\n")
    digest = hashlib.blake2b(digest_size=16)
    with (
        storage.opened(file, _BLOCK) as raw,
        tqdm(total=file.size, unit="B", unit_scale=True, disable=not sys.stderr.isatty(), desc="vectors") as bar,
    ):
        stream = io.BufferedReader(_Digested(raw, digest, bar.update), _BLOCK)
        try:
            if stream.peek(2)[:2] == _GZIP:
                stream = io.BufferedReader(gzip.GzipFile(fileobj=stream), _BLOCK)
            if stream.peek(1)[:1] == _PICKLE:
                words, vectors = keyed.read(stream, file.place)
                chunks = _of_gensim(words, vectors, file, beside, digest, folder)
            else:
                chunks = word2vec.read(stream, file.place)
            _write(chunks, folder, digest, file.place)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{file.place}: the gzip file is cut off or damaged: {error}") from None


def _of_gensim(
    words: list[str],
    vectors: np.ndarray | None,
    file: storage.File,
    beside: storage.File | None,
    digest: Any,
    folder: Path,
) -> Iterator[word2vec.Chunk]:
    """The words and vectors of gensim's own format in chunks; an array beside the file is mapped."""
    if vectors is None:
        if beside is None:
            raise ValueError(f"{file.place}: its vectors must lie beside it as {file.place}.vectors.npy, they do not")
        path = Path(beside.place)
        if storage.is_remote(beside.place):
            path = folder / "fetched.npy"
            with storage.opened(beside) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target, _BLOCK)
        try:
            vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise ValueError(f"{beside.place} must be an array of numpy: {error}") from None
        if vectors.dtype == np.float32 and vectors.flags.c_contiguous and path.name != "fetched.npy":
            (folder / "vectors.npy").symlink_to(path)  # not written a second time
    if vectors.ndim != 2 or len(vectors) != len(words):
        raise ValueError(f"{file.place}: {len(words)} words must have as many vectors, their shape is {vectors.shape}")
    for start in range(0, len(words), _ROWS):
        part = np.ascontiguousarray(vectors[start : start + _ROWS], np.float32)
        digest.update(part)
        yield [word.encode("utf-8", "replace") for word in words[start : start + _ROWS]], part
    (folder / "fetched.npy").unlink(missing_ok=True)


def _write(chunks: Iterable[word2vec.Chunk], folder: Path, digest: Any, place: str) -> None:
    """Writes a converted folder; the manifest comes last and makes it one.

    Of a word that comes twice the first vector is kept, as gensim does; words that are no UTF-8 are left out.
    """
    left_out = {"twice": 0, "not a line of UTF-8": 0}
    seen: set[bytes] = set()
    linked = size = 0
    with (
        replacing(folder / "words.txt") as words_path,
        replacing(folder / "numbers.npy") as numbers_path,
        open(words_path, "wb") as words,
        open(numbers_path, "wb") as numbers,
    ):
        numbers.write(bytes(_HEADER))
        for names, vectors in chunks:
            size = vectors.shape[1]
            linked = (folder / "vectors.npy").is_symlink()
            kept = []
            for row, name in enumerate(names):
                reason = _fault(name, seen)
                if reason is None:
                    seen.add(name)
                    kept.append(row)
                else:
                    left_out[reason] += 1
            bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
            if len(bad):
                word = names[bad[0]].decode("utf-8", "replace")
                raise ValueError(f"{place}: the vector of {word!r} must have finite numbers")
            if linked and len(kept) < len(names):
                raise ValueError(f"{place}: its words must be distinct UTF-8 without line breaks, one is not")
            words.writelines(names[row] + b"\n" for row in kept)
            if not linked:
                numbers.write(np.ascontiguousarray(vectors[kept], "<f4"))
        numbers.seek(0)
        numbers.write(_header(len(seen), size))
    if linked:
        (folder / "numbers.npy").unlink()
    else:
        (folder / "numbers.npy").replace(folder / "vectors.npy")
    manifest = {
        "format": FORMAT,
        "words": len(seen),
        "size": size,
        "digest": digest.hexdigest(),
        "place": place,
        "left_out": left_out,
    }
    with replacing(folder / "manifest.json") as path:
        path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    if any(left_out.values()):
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        sys.stderr.write(f"vectors: words left out of {place}: {reasons}\n")


def _fault(name: bytes, seen: set[bytes]) -> str | None:
    """Why a word is left out, or None."""
    if name in seen:
        return "twice"
    try:
        name.decode()
    except UnicodeDecodeError:
        return "not a line of UTF-8"
    return None if name and b"\n" not in name else "not a line of UTF-8"


def _header(words: int, size: int) -> bytes:
    """The beginning of an .npy file of float32 (words, size), `_HEADER` bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (words, size)})
    assert header.tell() == _HEADER, "numpy leaves room for the digits of any shape"
    return header.getvalue()


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ValueError(f"{path}: format must be {FORMAT}, got {manifest['format']}")
        return {key: manifest[key] for key in ("words", "size", "digest", "place")}
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must describe word vectors: {type(error).__name__}: {error}") from None


class _Digested(io.RawIOBase):
    """A stream that digests what is read from it, and tells how much."""

    def __init__(self, source: BinaryIO, digest: Any, report: Any):
        super().__init__()
        self.source, self.digest, self.report = source, digest, report

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self.source.readinto(buffer)
        self.digest.update(memoryview(buffer)[:count])
        self.report(count)
        return count
