"""Table 6 as `main` left it: each number again from the stored predictions, in plain code."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from mmvid import predictions
from mmvid.metrics import ranking
from mmvid.records.store import Store
from mmvid.records.textset import TextSet
from mmvid.report.text_table import PAPER
from steps import text_table


def fetched(run, name: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=name))


@pytest.fixture
def at_job(job, monkeypatch):
    monkeypatch.chdir(job.folder)
    monkeypatch.setenv("MMVID_HOME", str(job.folder / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", job.tracking)
    mlflow.set_tracking_uri(job.tracking)
    return job


def test_the_table_is_told_with_the_populations_and_the_papers_numbers(job):
    assert "# Table 6 (titles and keywords alone): demo data (made)" in job.printed
    for name, value in PAPER.items():
        assert f"| {name}" in job.printed and f"{value:.2f}" in job.printed
    parent = job.runs("main")[-1]
    assert "not comparable" in fetched(parent, "table6.md").read_text()


def test_each_row_is_of_the_videos_whose_text_it_reads(at_job, capsys):
    trained = len(at_job.runs("train_textcnn"))
    text_table.main(["--draws", "50"])
    assert len(at_job.runs("train_textcnn")) == trained  # found, not trained again
    (run,) = at_job.runs("text_table")
    told = {row["name"]: row for row in json.loads(fetched(run, "table6.json").read_text())["rows"]}
    assert list(told) == list(PAPER)
    for entry, name, field, kept in (
        ("textcnn", "TextCNN B", "title", "removed"),
        ("unigram", "Unigram", "title", "kept"),
    ):
        row = told[name]
        trained = mlflow.get_run(row["run"])
        assert trained.data.tags["mmvid.entry"] == f"train_{entry}"
        textset = TextSet.open(trained.data.tags["mmvid.text.set"])
        store = Store.open(trained.data.tags["mmvid.data.store"])
        known = textset.known("validate", field, kept)
        found = predictions.read(fetched(trained, "predictions") / "validate.arrow").select(known)
        value, low, high = row["gap"]
        assert value == pytest.approx(100 * ranking.gap_of(found.ranked())) and low < value < high
        assert row["videos"] == known.sum() and row["learnt"] == textset.known("train", field, kept).sum()
        # The labels' shares, as the scores of every video.
        counts = np.zeros(store.shapes.classes)
        row_number = 0
        learnt = textset.known("train", field, kept)
        for batch in store.batches("train"):
            for labels in batch.column("labels").to_pylist():
                if learnt[row_number]:
                    counts[labels] += 1
                row_number += 1
        scores = torch.tensor(counts / learnt.sum()).expand(len(found), -1)
        labels = torch.zeros(scores.shape, dtype=torch.bool)
        for video in range(len(found)):
            labels[video, found.labels[found.offsets[video] : found.offsets[video + 1]].tolist()] = True
        assert row["prior"] == pytest.approx(100 * ranking.gap(scores.float(), labels), rel=1e-4)


def test_a_label_to_leave_out_must_be_there(at_job):
    with pytest.raises(ValueError, match="^without must be the name of one label of .*, 0 are named 'Nothing'$"):
        text_table.main(["--without", "Nothing"])
