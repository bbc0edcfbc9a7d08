"""Files of scores: what is written is read again; parts survive a kill; the challenges' formats to the letter."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmvid.bulk import files
from mmvid.bulk.parts import Parts, Scored

ALL = np.arange(7)
FACTS = {"mmvid.num_classes": "7"}


@pytest.fixture
def parts() -> list[Scored]:
    """Five videos in two parts, their 3 best classes of 7."""
    random = np.random.default_rng(0)
    classes = np.array([random.permutation(7)[:3] for _ in range(5)], np.int32)
    scores = -np.sort(-random.random((5, 3), np.float32), axis=1)
    ids = [f"v{number}" for number in range(5)]
    cuts = (slice(0, 2), slice(2, 5))
    return [Scored(ids[cut], None, classes[cut], scores[cut]) for cut in cuts]


def test_parquet_holds_the_very_numbers(parts, tmp_path):
    assert files.write(parts, tmp_path / "a.parquet", "parquet", FACTS, ALL) == 5
    found, facts = files.read(tmp_path / "a.parquet")
    assert found.ids == ["v0", "v1", "v2", "v3", "v4"] and found.starts is None and facts["mmvid.num_classes"] == "7"
    for name in ("classes", "scores"):
        assert np.array_equal(getattr(found, name), np.concatenate([getattr(part, name) for part in parts]))


def test_the_csv_is_that_of_the_challenge(parts, tmp_path):
    assert files.write(parts, tmp_path / "a.csv", "csv", FACTS, ALL) == 5
    header, first, *_ = (tmp_path / "a.csv").read_text().splitlines()
    pairs = zip(parts[0].classes[0], parts[0].scores[0], strict=True)
    assert header == "VideoId,LabelConfidencePairs"
    assert first == "v0," + " ".join(f"{label} {score:g}" for label, score in pairs)
    found, _ = files.read(tmp_path / "a.csv")
    np.testing.assert_allclose(found.scores[2:], parts[1].scores, rtol=1e-5)
    assert np.array_equal(found.classes[:2], parts[0].classes) and len(found.ids) == 5


def test_ids_of_any_letters_are_read_again(parts, tmp_path):
    ids = ['a,b "c"', "two\nlines"]
    files.write([parts[0]._replace(ids=ids)], tmp_path / "a.csv", "csv", FACTS, ALL)
    (tmp_path / "b.csv").write_text("\ufeff" + (tmp_path / "a.csv").read_text(), encoding="utf-8")
    for name in ("a.csv", "b.csv"):
        assert files.read(tmp_path / name)[0].ids == ids


def test_segments_are_listed_by_class_from_the_best_down(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "TOP_N", 2)
    classes = np.array([[1, 2], [1, 0], [2, 1], [1, 2]], np.int32)
    scores = np.array([[0.9, 0.1], [0.5, 0.2], [0.8, 0.7], [0.95, 0.3]], np.float32)
    starts = np.array([0, 5, 0, 5], np.int32)
    ids = ["a", "a", "b", "b"]
    parts = [Scored(ids[cut], starts[cut], classes[cut], scores[cut]) for cut in (slice(0, 2), slice(2, 4))]
    assert files.write(parts, tmp_path / "a.csv", "segments", FACTS, np.array([1, 2, 5])) == 4
    assert (tmp_path / "a.csv").read_text() == "Class,Segments\n1,b:5 a:0\n2,b:0 b:5\n5,\n"


def test_segments_need_starts_and_files_need_videos(parts, tmp_path):
    with pytest.raises(ValueError, match="^a file of segments must be of segments, the records hold whole videos$"):
        files.write(parts, tmp_path / "a.csv", "segments", FACTS, ALL)
    with pytest.raises(ValueError, match="^there must be at least one video to score, got none$"):
        files.write([], tmp_path / "a.parquet", "parquet", FACTS, ALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("id,scores\na,1 0.5\n", "its first line must be VideoId,LabelConfidencePairs, got 'id,scores'"),
        ("VideoId,LabelConfidencePairs\na,1 0.5 2\n", "line 2 must be an id and pairs of label and score"),
        ("VideoId,LabelConfidencePairs\na,1 x\n", "line 2 must be an id and pairs of label and score"),
        ("VideoId,LabelConfidencePairs\na,1 nan\n", "line 2 must be an id and pairs of label and score"),
        ("VideoId,LabelConfidencePairs\na,1 0.5\nb,1 0.5 2 0.1\n", "line 3 must have as many pairs as the first line"),
        ("VideoId,LabelConfidencePairs\na,1 0.5 1 0.4\n", "each class of a video .* once, 'a' has 1 twice"),
        ("VideoId,LabelConfidencePairs\na,-1 0.5\n", "classes must be whole numbers from 0 on"),
        ("VideoId,LabelConfidencePairs\n", "there must be at least one video to score, got none"),
        ("PAR1 and no more", "Parquet"),
    ],
)
def test_another_file_is_refused_in_one_sentence(text, sentence, tmp_path):
    path = tmp_path / "scores"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{path} must be a file of scores: .*{sentence}"):
        files.read(path)


@pytest.mark.parametrize(
    ("classes", "scores", "sentence"),
    [
        ([[1, 1]], [[0.5, 0.4]], "each class of a video must be there once, 'a' has 1 twice"),
        ([[2**40, 1]], [[0.5, 0.4]], "classes must be whole numbers from 0 on"),
        ([[0.5, 1]], [[0.5, 0.4]], "classes must be whole numbers from 0 on"),
        ([[1, 2]], [[0.5, float("nan")]], "scores must be finite numbers"),
        ([[1, 2]], [["0.5", "0.4"]], "scores must be "),
        ([[1, 2]], [[0.5, None]], "classes and scores must be there for every video, some are null"),
        ([[1, 2]], [None], "classes and scores must be lists, one a video, got null"),
        (["1 2"], ["0.5 0.4"], "classes and scores must be lists, one a video, got string"),
    ],
)
def test_a_parquet_file_of_something_else_is_refused(classes, scores, sentence, tmp_path):
    pq.write_table(pa.table({"id": ["a"], "classes": classes, "scores": scores}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=f"a.parquet must be a file of scores: {sentence}"):
        files.read(tmp_path / "a.parquet")


def test_lists_of_a_fixed_size_are_read(tmp_path):
    kinds = {"classes": pa.list_(pa.int64(), 2), "scores": pa.list_(pa.float64(), 2)}
    columns = {"classes": pa.array([[3, 1]], kinds["classes"]), "scores": pa.array([[0.5, 0.4]], kinds["scores"])}
    pq.write_table(pa.table({"id": ["a"], **columns}), tmp_path / "a.parquet")
    assert files.read(tmp_path / "a.parquet")[0].classes.tolist() == [[3, 1]]


def test_parts_are_kept_for_the_same_plan_only(parts, workplace, tmp_path, capsys):
    output = tmp_path / "a.parquet"
    job = Parts(output)
    with pytest.raises(KeyError), job.claimed({"model": "a"}):
        job.write("0", parts[0])
        raise KeyError("killed")
    with job.claimed({"model": "a"}):
        assert job.has("0") and not job.has("1") and job.rows("0") == 2
        job.write("1", parts[1])
        assert [part.ids for part in job.read()] == [["v0", "v1"], ["v2", "v3", "v4"]]
    assert not job.folder.exists()
    with pytest.raises(KeyError), job.claimed({"model": "a"}):
        job.write("0", parts[0])
        raise KeyError("killed")
    with job.claimed({"model": "b"}):
        assert not job.has("0")
    assert "was left by another job; it is begun anew" in capsys.readouterr().err
