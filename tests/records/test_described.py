"""Videos without features: rows of ids, labels and text as a data set."""

import json

import pytest

from mmvid.records.ingest import fingerprint, ingest
from mmvid.records.splits import VALIDATE_SHARE

ROWS = [{"id": f"v{n:03d}", "title": f"title {n}", "labels": [n % 7, n % 3]} for n in range(400)]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_are_divided_by_a_hash_of_their_ids(maker, tmp_path):
    path = write(tmp_path / "titles.jsonl", ROWS)
    store = ingest(str(path), maker.schema, tmp_path / "store", progress=False)
    assert store.splits == ["train", "dev", "gate", "validate"] and store.shapes.features == {}
    found = [row for split in store.splits for row in store.table(split).select(["id", "title", "labels"]).to_pylist()]
    expected = [row | {"labels": sorted(set(row["labels"]))} for row in ROWS]
    assert sorted(found, key=lambda row: row["id"]) == expected
    assert abs(store.count("validate") / 400 - VALIDATE_SHARE) < 0.06 and store.counts("train").title
    again = ingest(str(path), maker.schema, tmp_path / "again", progress=False, workers=1)
    assert again.digest == store.digest
    assert fingerprint(path) == fingerprint(path)


def test_files_named_by_split_keep_it_and_csv_is_read(maker, tmp_path):
    (tmp_path / "train.csv").write_text('id,text,keywords,labels\na,"one, two","x,y",1 2\nb,,,\nc,three,,3;3\n')
    (tmp_path / "validate.csv").write_text("id,text,keywords,labels\nd,four,,0\n")
    store = ingest(str(tmp_path / "*.csv"), maker.schema, tmp_path / "store", dev_share=0.01, progress=False)
    rows = store.table("train").select(["id", "title", "keywords", "labels"]).to_pylist()
    assert rows == [
        {"id": "a", "title": "one, two", "keywords": ["x", "y"], "labels": [1, 2]},
        {"id": "b", "title": None, "keywords": None, "labels": None},
        {"id": "c", "title": "three", "keywords": None, "labels": [3]},
    ]
    assert store.count("validate") == 1


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"id": "a", "labels": [9]}, "titles.jsonl: line 2: video 'a': .*9"),
        ({"id": "a", "labels": "x"}, "titles.jsonl: line 2: labels must be whole numbers, got 'x'"),
        ({"id": "", "labels": []}, "titles.jsonl: line 2: must have an id"),
        ({"id": "v000"}, "video 'v000' comes twice"),
    ],
)
def test_a_row_that_does_not_fit_is_named(maker, tmp_path, row, sentence):
    path = write(tmp_path / "titles.jsonl", [ROWS[0], row, *ROWS[1:50]])
    with pytest.raises(ValueError, match=sentence):
        ingest(str(path), maker.schema, tmp_path / "store", progress=False)


def test_rows_cannot_be_skipped(maker, tmp_path):
    path = write(tmp_path / "titles.jsonl", ROWS)
    with pytest.raises(ValueError, match="^on_error must be stop for files of rows"):
        ingest(str(path), maker.schema, tmp_path / "store", on_error="skip", progress=False)
