"""Classifiers of titles and keywords from a fresh folder: the text set is made on the way, scores are by population."""

import json

import mlflow
import pytest

from mmvid import serving
from mmvid.setups import training_options
from steps import demo_data, train


def finished(entry: str):
    condition = f"tags.`mmvid.entry` = '{entry}' and attributes.status = 'FINISHED'"
    return mlflow.MlflowClient().search_runs(["0"], condition)


@pytest.mark.slow
def test_the_text_classifiers_train_on_demo_data(workplace, capsys):
    demo_data.main(["--videos", "300", "--frame_videos", "0", "--shards", "1"])
    for words in (
        ["unigram", "--text_fields", "title,keywords"],
        ["keywords", "--preset", "compact", "--clusters", "64", "--epochs", "2"],
        ["textcnn", "--filters", "16", "--hidden", "32", "--widths", "1,2,3", "--batch_size", "64", "--epochs", "2"],
    ):
        train.main(words)
        (run,) = finished(f"train_{words[0]}")
        metrics = run.data.metrics
        known, rest = (metrics[f"validate/{group}_known_word/videos"] for group in ("with", "without"))
        assert 0 < known and 0 < rest and metrics["train/videos"] < 300
        assert 0 < metrics["validate/with_known_word/gap"] <= 1 and 0 < metrics["validate/gap"] <= 1
        package = serving.load_logged(run.data.tags["mmvid.model"])
        assert len(package.words) == package.shapes.words and package.name == words[0]
    assert len(finished("build_text")) == 1  # made once, found twice
    assert "word vectors are trained on the data set's own text" in capsys.readouterr().err
    # Where the words of the videos' own labels are removed, fewer videos have a word.
    train.main(["unigram", "--label_words", "removed", "--text_fields", "title,keywords"])
    first, second = (each.data.metrics["train/videos"] for each in reversed(finished("train_unigram")))
    assert second < first


def test_label_words_are_removed_only_where_labels_have_names(workplace):
    rows = [{"id": f"v{i}", "title": f"good dog number {i % 7}", "labels": [i % 3]} for i in range(300)]
    (workplace / "titles.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["unigram", "--data", "titles.jsonl", "--schema", "youtube8m", "--text_fields", "title"]
    sentence = "label_words=removed needs the names of the labels, youtube8m has none; ingest with voc"
    with pytest.raises(ValueError, match=sentence):
        train.main([*words, "--label_words", "removed"])


def test_a_classifier_says_how_it_is_trained():
    from mmvid.classifiers import load

    assert training_options(load("textcnn"))().learning_rate == 0.001
    assert training_options(load("moe"))().learning_rate == 0.01
    assert "learning_rate" not in training_options(load("unigram")).model_fields
