"""gensim's own format of word vectors, read without running anything that a file says.

`KeyedVectors.save` writes a pickle, which could name any function to be called when it is loaded. Here only the names
that such a file needs are known, and each stands for a class of ours that keeps what it is given: neither gensim's nor
numpy's code is called by the file. Large arrays lie beside the pickle as `<file>.vectors.npy`, which has no code in it.
"""

import pickle
from typing import Any, BinaryIO

import numpy as np

_DTYPES = {"f2": np.float16, "f4": np.float32, "f8": np.float64, "i4": np.int32, "i8": np.int64}


class _Kept:
    """An object of the file as its attributes."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _DType(_Kept):
    def __init__(self, name: str, *_: Any):
        self.name = name

    def real(self) -> np.dtype:
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "|"
        if self.name not in _DTYPES or order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"an array of {self.name!r}")
        return np.dtype(_DTYPES[self.name]).newbyteorder(order)


class _Array(_Kept):
    """What `numpy.ndarray` is rebuilt from: (version, shape, dtype, whether in Fortran's order, bytes)."""

    def __init__(self, *_: Any):
        pass

    def real(self) -> np.ndarray:
        _, shape, dtype, fortran, data = self.state
        return np.frombuffer(data, dtype.real()).reshape(shape, order="F" if fortran else "C")


_KNOWN = {("numpy", "dtype"): _DType, ("numpy", "ndarray"): _Array}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _KNOWN[_module, "_reconstruct"] = _Array
for _name in ("KeyedVectors", "Word2VecKeyedVectors", "EuclideanKeyedVectors"):
    _KNOWN["gensim.models.keyedvectors", _name] = _Kept


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return _KNOWN[module, name]


def read(stream: BinaryIO, called: str) -> tuple[list[str], np.ndarray | None]:
    """The words of a file that gensim's `KeyedVectors.save` wrote, in order, and their vectors.

    Args:
        stream: the pickle from its beginning.
        called: its name in messages.

    Returns:
        The words, and the vectors (words, size), or None where they lie in a file beside it.

    Raises:
        ValueError: if the file is damaged, names anything but word vectors, or is a whole model.
    """
    try:
        found = _Reader(stream).load()
        state = found.state
        words, vectors = state["index_to_key"], state.get("vectors")
        vectors = vectors.real() if isinstance(vectors, _Array) else None
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{called} must hold gensim's KeyedVectors and nothing else, it has {error}; "
            "of a whole model save `model.wv`, or write the word2vec format by `save_word2vec_format`"
        ) from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ValueError(f"{called}: not word vectors of gensim 4: {type(error).__name__}: {error}") from None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{called}: the words must be a list of strings")
    return words, vectors
