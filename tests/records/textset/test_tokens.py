"""A split's word ids on disk: written in parts, read as two mapped arrays a column."""

import numpy as np
import pytest

from mmvid.records.textset.tokens import COLUMNS, column_of, read_tokens, write_tokens


def part(random, rows):
    """For each column the lengths and ids of some videos."""
    drawn = {}
    for column in COLUMNS:
        lengths = random.integers(0, 4, rows)
        drawn[column] = (lengths, random.integers(0, 50, lengths.sum()).astype(np.int32))
    return drawn


@pytest.mark.parametrize("sizes", [(5, 1, 30), (1,), (0, 3), ()])
def test_what_is_written_in_parts_is_read_as_one(tmp_path, sizes):
    random = np.random.default_rng(0)
    parts = [part(random, rows) for rows in sizes]
    digest = write_tokens(tmp_path / "train.arrow", parts)
    read = read_tokens(tmp_path / "train.arrow")
    for column in COLUMNS:
        lengths = np.concatenate([np.zeros(0, int), *(each[column][0] for each in parts)])
        values = np.concatenate([np.zeros(0, np.int32), *(each[column][1] for each in parts)])
        assert read[column].offsets.dtype == np.int64 and read[column].values.dtype == np.int32
        assert read[column].offsets.tolist() == [0, *np.cumsum(lengths)]
        assert np.array_equal(read[column].lengths, lengths) and np.array_equal(read[column].values, values)
    assert [path.name for path in tmp_path.iterdir()] == ["train.arrow"], "nothing else is left"
    assert write_tokens(tmp_path / "again.arrow", parts) == digest, "bit-identical"


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "train.arrow").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="train.arrow: not an Arrow file: "):
        read_tokens(tmp_path / "train.arrow")


def test_columns_have_names():
    assert column_of("title", "kept") == "title" and column_of("keywords", "removed") == "keywords_unlabelled"
    with pytest.raises(ValueError, match="^field must be title or keywords, got 'tags'$"):
        column_of("tags", "kept")
    with pytest.raises(ValueError, match="^label_words must be kept or removed, got 'no'$"):
        column_of("title", "no")
