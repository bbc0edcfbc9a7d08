"""A cross-validation on made items, of which the audio tells the label and the rest is noise."""

import csv
import io
from pathlib import Path

import mlflow
import numpy as np
import pytest

from mmvid import predictions, runs
from steps import cross_validate

SCHEMA = """
name: clicks
classes: 2
labels_key: label
features:
  visual: {size: 3, mean: visual}
  audio: {size: 4, mean: sound}
"""
TABLE = """
title: "Clicks & cuts"
columns:
  - {metric: hit_at_1, name: accuracy}
  - {metric: map, name: mAP}
rows:
  - name: Visual
    entry: train_logistic
    parameters: &short {modalities: visual, epochs: 6, batch_size: 32, learning_rate: 0.1}
  - {name: Audio, entry: train_logistic, parameters: {<<: *short, modalities: audio}}
  - {name: Both, entry: train_logistic, parameters: {<<: *short, modalities: [visual, audio]}}
"""


@pytest.fixture
def clicks(workplace, monkeypatch) -> list[str]:
    """A data set, its schema and its table; the words of a command about them."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 90)
    sound = rng.normal(size=(180, 4)) + 3 * labels[:, None]
    np.savez(workplace / "clicks.npz", visual=rng.normal(size=(180, 3)), sound=sound, label=labels)
    (workplace / "clicks.yaml").write_text(SCHEMA)
    (workplace / "tables").mkdir()
    (workplace / "tables" / "clicks.yaml").write_text(TABLE)
    read = cross_validate.read_table
    monkeypatch.setattr(cross_validate, "read_table", lambda name, folder: read(name, workplace / "tables"))
    given = {"items": workplace / "clicks.npz", "schema": workplace / "clicks.yaml", "table": "clicks", "draws": 100}
    given |= {"folds": 2, "seeds": "0", "group": 5}
    return [word for name, value in given.items() for word in (f"--{name}", str(value))]


def test_every_subset_and_every_absence_is_measured(clicks, capsys):
    cross_validate.main(clicks)
    told = capsys.readouterr().out
    assert told.startswith("# Clicks & cuts: clicks, 180 items, 2 folds of groups of 5 neighbours\n")
    (done,) = runs.search("tags.`mmvid.entry` = 'cross_validate' and attributes.status = 'FINISHED'")
    trained = runs.search("tags.`mmvid.entry` = 'train_logistic' and attributes.status = 'FINISHED'")
    assert len(trained) == 3 * 2 + 2  # each row on each fold, and that of all modalities with some hidden

    lines = list(csv.DictReader(io.StringIO(artifact(done, "clicks.csv"))))
    value = {(each["row"], each["missing"], each["model"], each["metric"]): float(each["mean"]) for each in lines}
    assert value["Audio", "", "", "hit_at_1"] > 0.95 and value["Visual", "", "", "hit_at_1"] < 0.65
    whole, robust = "trained on whole items", "trained with modalities hidden"
    assert value["", "nothing", whole, "hit_at_1"] == value["Both", "", "", "hit_at_1"] > 0.95
    assert value["", "audio", whole, "hit_at_1"] < 0.65 and value["", "visual", robust, "hit_at_1"] > 0.95
    assert value["", "audio", "never had it", "hit_at_1"] == value["Visual", "", "", "hit_at_1"]
    # Accuracy once more, from the stored predictions of the folds.
    by_row = {
        line.split(":")[0][2:]: line.split(": ")[1].split(", ") for line in told.splitlines() if "- Both:" in line
    }
    found = [predictions.read(Path(fetch(run, "predictions")) / "validate.arrow") for run in by_row["Both"]]
    right = sum(int((fold.classes[:, 0] == fold.labels).sum()) for fold in found)
    assert value["Both", "", "", "hit_at_1"] == pytest.approx(right / 180) and sum(map(len, found)) == 180

    tex = artifact(done, "clicks.tex")
    assert r"Clicks \& cuts" in tex and r"accuracy \%" in tex and tex.count(r"\begin{tabular}") == 2
    page = artifact(done, "report.html")
    assert "Clicks &amp; cuts" in page and 'src="http' not in page and page.count("Plotly.newPlot(") == 2


def test_mistakes_are_told(clicks, workplace):
    with pytest.raises(ValueError, match="^items must be an npz file of arrays, got 'nothing.npz'$"):
        cross_validate.main(["--items", "nothing.npz"])
    table = workplace / "tables" / "clicks.yaml"
    table.write_text(TABLE.replace("modalities: [visual, audio]", "modalities: [visual, smell]"))
    with pytest.raises(
        ValueError, match="^table clicks, row 'Both': must be a train_ entry of modalities among visual"
    ):
        cross_validate.main(clicks)
    table.write_text(TABLE[: TABLE.index("  - {name: Both")])
    with pytest.raises(ValueError, match="^table clicks must have a row of all modalities: visual, audio$"):
        cross_validate.main(clicks)


def test_a_row_that_fails_is_told_and_the_rest_goes_on(clicks, workplace, capsys):
    table = workplace / "tables" / "clicks.yaml"
    table.write_text(TABLE.replace("{<<: *short, modalities: audio}", "{<<: *short, modalities: audio, wings: 2}"))
    with pytest.raises(ValueError, match="^1 rows could not be made: Audio: train_logistic does not take"):
        cross_validate.main(clicks)
    told = capsys.readouterr().out
    assert "| Both" in told and "Failed: Audio: train_logistic does not take" in told

    first = {run.id for run in runs.search("tags.`mmvid.entry` = 'train_logistic'")}
    table.write_text(TABLE)
    cross_validate.main(clicks)  # what is there is found; only the row that failed is trained
    assert len(first) == 6
    assert len({run.id for run in runs.search("tags.`mmvid.entry` = 'train_logistic'")} - first) == 2


def fetch(run: str, name: str) -> str:
    return mlflow.artifacts.download_artifacts(run_id=run, artifact_path=name)


def artifact(run: runs.Finished, name: str) -> str:
    return Path(fetch(run.id, name)).read_text()
