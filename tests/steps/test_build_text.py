"""`build_text`: what it prints and logs, that it is found again, and mistakes as one sentence."""

import json
import re

import mlflow
import pytest

from mmvid.records.textset import TextSet
from steps import build_text

ROWS = [
    {
        "id": f"v{n:03d}",
        "title": ["The cat | plays in a band", "Une vidéo de chat pour les enfants", "", "Live music from the city"][
            n % 4
        ],
        "keywords": [["cat", "music band", "2017"], None, ["the city"]][n % 3],
        "labels": [n % 5],
    }
    for n in range(80)
]

MISTAKES = {
    ("--vectors", "none.bin"): "^vectors must be a file of word vectors, there is none at ",
    ("--titles", "none.csv"): "^there is no file none.csv$",
    ("--titles", "small.yaml"): "^small.yaml: the name of a file of rows must end in .jsonl, ",
    ("--titles", "titles.jsonl,titles.jsonl"): "^titles.jsonl is named twice$",
}


@pytest.fixture
def data(workplace):
    """A file of rows with text and labels, and their names."""
    (workplace / "titles.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (workplace / "names.csv").write_text("id,name\n0,Cat\n1,Music\n2,Cat\n3,City | town\n4,Game\n")
    (workplace / "small.yaml").write_text("name: small\nclasses: 5\nfeatures:\n  audio: {size: 4, mean: mean_audio}\n")
    return ["--data", "titles.jsonl", "--schema", "small.yaml", "--vocabulary", "names.csv"]


def newest():
    return mlflow.MlflowClient().search_runs(
        ["0"], "tags.`mmvid.entry` = 'build_text'", order_by=["attributes.start_time DESC"], max_results=1
    )[0]


def test_the_step(data, workplace, capsys):
    build_text.main(data)
    out, err = capsys.readouterr()
    assert "trained on the data set's own text" in err
    for heading in ("Table 1: videos with text", "Loss factors", "Label overlap", "Figure 2", "Figure 3"):
        assert f"## {heading}" in out
    assert "train (the paper's YouTube-8M-Text)" in out and "3.905 M" in out and "about 48,000" in out
    run = newest()
    textset = TextSet.open(run.data.tags["mmvid.text.set"])
    assert run.data.tags["mmvid.text.digest"] == textset.digest
    counts = textset.counts("train")
    assert run.data.metrics["videos/train/title"] == counts.title.known
    assert counts.title.not_english > 0 and counts.title.absent > 0
    assert re.search(rf"\| train +\| {counts.videos} +\| {counts.keywords.known} ", out)
    names = {each.path for each in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert names >= {"text.md", "text.html", "commonest_keywords.png", "commonest_label_words.png", "manifest.json"}
    page = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/text.html")
    assert "Label overlap" in page and "<script" not in page
    build_text.main(data)
    assert "nothing to compute" in capsys.readouterr().err
    assert newest().info.run_id == run.info.run_id

    (workplace / "more.csv").write_text('id,title,keywords\nv001,A cat in the city,"music,cat"\nnobody,A cat,\n')
    build_text.main([*data, "--titles", "more.csv"])
    out = capsys.readouterr().out
    assert "more.csv`, 2 rows; 1 videos have one, the ids of 1 rows have no video" in out

    for words, sentence in MISTAKES.items():
        with pytest.raises((ValueError, OSError), match=sentence):
            build_text.main([*data, *words])
