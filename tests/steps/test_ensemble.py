"""Ensembles of the job's models: exact, found again, served, promoted, scored in bulk; faults are told."""

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from mmvid import ensemble_serving, ensembling, experiment
from mmvid.bulk import files, sources
from mmvid.metrics import ranking
from mmvid.predictions import read
from mmvid.records.store import Store
from mmvid.registry import measurement
from mmvid.runs import load_run
from steps import ensemble, evaluate, predict, promote


def members(job) -> list[str]:
    """A run of features, the champion of another kind, one that reads words, one that reads features of text."""
    with_text = [run for run in job.runs("train_moe") if "keywords" in run.data.params.get("modalities", "")]
    newest = [job.runs(entry)[0].info.run_id for entry in ("train_logistic", "train_keywords")]
    return [newest[0], "models:/mmvid-moe@champion", newest[1], with_text[0].info.run_id]


def blended(job, name: str, chosen: list[str], *words: str):
    ensemble.main([name, "--members", ",".join(chosen), *words])
    return load_run(job.runs(f"ensemble_{name}")[0].info.run_id)


@pytest.fixture(scope="module")
def runs(job):
    """An ensemble of each kind, of all members or of those that read no words; made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(job.folder)
        patch.setenv("MMVID_HOME", str(job.folder / "data"))
        patch.setenv("MLFLOW_TRACKING_URI", job.tracking)
        mlflow.set_tracking_uri(job.tracking)
        chosen = members(job)
        made = {name: blended(job, name, chosen) for name in ("mean", "max")}
        made["weighted"] = blended(job, "weighted", chosen[:2])
        made["forest"] = blended(job, "forest", chosen[:2], "--trees", "40", "--vote", "mean")
    return made


def dense_scores(package, store: Store, run, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Each member's scores of all classes, (M, N, C), and the labels."""
    words = ensembling.words_of(package, run, store)
    batch = experiment.batches(store, split, package.model, 10**6, words=words).read(np.arange(store.count(split)))
    with torch.inference_mode():
        scores = torch.stack([m(b) for m, b in zip(package.model.members, batch.members, strict=True)])
    return scores, batch.labels


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mean", "max"])
def test_an_ensemble_of_any_modalities_is_the_dense_blend(name, runs, here):
    run = runs[name]
    package, store = ensemble_serving.load_logged(run.tags["mmvid.model"]), Store.open(run.tags["mmvid.data.store"])
    assert [member.name for member in package.members] == ["logistic", "moe", "keywords", "moe"]
    scores, labels = dense_scores(package, store, run, "validate")
    wanted = scores.mean(0) if name == "mean" else scores.amax(0)
    assert run.metrics["validate/gap"] == pytest.approx(ranking.gap(wanted, labels), abs=1e-6)
    assert run.metrics["validate/cut_cost"] == pytest.approx(0)  # of 100 classes none is cut
    table = run.fetch("members.md").read_text()
    assert all(member in table for member in run.tags["mmvid.members"].split(","))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weighted", "forest"])
def test_gate_is_measured_out_of_sample_by_the_run_and_by_a_promotion(name, runs, here):
    run = runs[name]
    package, store = ensemble_serving.load_logged(run.tags["mmvid.model"]), Store.open(run.tags["mmvid.data.store"])
    measured = measurement.measure(package, store)
    assert measured.metrics["gap"] == pytest.approx(run.metrics["gate/gap"], abs=1e-6)
    in_sample = package.model.blended(dense_scores(package, store, run, "gate")[0])
    labels = dense_scores(package, store, run, "gate")[1]
    assert ranking.gap(in_sample, labels) != pytest.approx(run.metrics["gate/gap"], abs=1e-4)
    if name == "forest":  # what knows the answers looks better
        assert ranking.gap(in_sample, labels) > run.metrics["gate/gap"]


@pytest.mark.slow
def test_an_ensemble_is_found_again_by_its_members(runs, here, capsys):
    again = blended(here, "mean", members(here))
    assert again.id == runs["mean"].id and "nothing to compute" in capsys.readouterr().err


@pytest.mark.slow
def test_an_ensemble_answers_records_as_its_members_do(runs, here):
    uri = runs["mean"].tags["mmvid.model"]
    package = ensemble_serving.load_logged(uri)
    service = ensemble_serving.EnsembleService(package)
    texts = {"title": "How to play the guitar", "keywords": ["guitar"]}
    texts = {key: text for key, text in texts.items() if key in service.known}
    record = {"mean_rgb": [0.1] * 1024, **texts}
    parts = []
    for own in service.services:
        parts.append(own.scores([{key: value for key, value in record.items() if key in own.known}])[0])
    np.testing.assert_allclose(service.scores([record])[0], np.mean(parts, axis=0), rtol=1e-5)
    served = mlflow.pyfunc.load_model(uri).predict([record | {"options": {"top_k": 2}}])
    assert [label["id"] for label in served[0]["labels"]] == np.argsort(-np.mean(parts, axis=0))[:2].tolist()
    assert texts and len(service.answer([texts | {"options": {"top_k": 1}}])[0]["labels"]) == 1
    with pytest.raises(ensemble_serving.BadRequest, match="^record 0 must have at least one of mean_rgb, rgb, "):
        service.answer([{"id": "a"}])
    with pytest.raises(ensemble_serving.BadRequest, match="^record 0: unknown key 'video'; there are id, mean_rgb"):
        service.answer([{"video": 1}])


@pytest.mark.slow
def test_an_ensemble_is_promoted_against_a_single_model(runs, here, capsys):
    (here.folder / "blend.yaml").write_text("best-blend: {metric: gap, bars: {gap: 0.01}, draws: 100, confidence: 0}\n")
    words = ["--model", "best-blend", "--rules", str(here.folder / "blend.yaml")]
    promote.main(["--run", here.runs("train_logistic")[0].info.run_id, *words])
    promote.main(["--run", runs["forest"].id, *words])
    assert "best-blend: version 2" in capsys.readouterr().out
    version = MlflowClient().get_model_version("best-blend", "2")
    assert "ensemble_forest" in version.description
    assert ensembling.run_of("models:/best-blend/2").id == runs["forest"].id
    promote.main(["--run", runs["mean"].id, *words])  # which reads words, too
    found = here.runs("promote")[0].data.metrics
    assert found["candidate/gap"] == pytest.approx(runs["mean"].metrics["gate/gap"], abs=1e-6)
    assert found["candidate/with_known_word/videos"] > 0


@pytest.mark.slow
def test_scores_in_a_file_have_the_metrics_of_the_run(runs, here, tmp_path, capsys):
    run = runs["mean"]
    store = run.tags["mmvid.data.store"]
    for place, kind in ((tmp_path / "a.parquet", "parquet"), (tmp_path / "a.csv", "csv")):
        words = ["--model", run.id, "--data", store, "--output", str(place), "--format", kind]
        predict.main(words)
        evaluate.main(["--predictions", str(place), "--data", store])
        found = load_run(here.runs("evaluate")[0].info.run_id).metrics
        for metric in ("gap", "map", "hit_at_1", "perr", "with_text/gap", "without_text/gap", "without_commonest/gap"):
            exact = 1e-6 if kind == "parquet" else 1e-3  # of six digits
            assert found[f"validate/{metric}"] == pytest.approx(run.metrics[f"validate/{metric}"], abs=exact)
    kept = read(run.fetch("predictions/validate.arrow"))
    scored, facts = files.read(tmp_path / "a.parquet")
    assert scored.ids == kept.ids and facts["mmvid.key"] == kept.key
    np.testing.assert_allclose(scored.scores, kept.scores, atol=1e-6)


@pytest.mark.slow
def test_a_killed_scoring_goes_on_and_ends_with_the_same_bytes(here, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "PART", 32)
    monkeypatch.setattr(sources, "BATCH", 16)
    model = here.runs("train_moe")[-1].info.run_id
    words = ["--model", model, "--shards", str(here.folder / "data" / "demo" / "video" / "validate")]
    predict.main([*words, "--output", str(tmp_path / "whole.parquet")])
    chosen = sources.Shards._score
    calls = []

    def fail(self, videos, kept):
        calls.append(len(videos))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return chosen(self, videos, kept)

    monkeypatch.setattr(sources.Shards, "_score", fail)
    with pytest.raises(KeyboardInterrupt):
        predict.main([*words, "--output", str(tmp_path / "again.parquet")])
    assert not (tmp_path / "again.parquet").exists() and list(tmp_path.glob(".again*/part-*"))
    predict.main([*words, "--output", str(tmp_path / "again.parquet")])
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not list(tmp_path.glob(".again*"))
    store = Store.open(load_run(model).tags["mmvid.data.store"])
    scored, _ = files.read(tmp_path / "whole.parquet")
    stored = read(load_run(model).fetch("predictions/validate.arrow"))
    rows = [scored.ids.index(video) for video in stored.ids]
    assert len(rows) == store.count("validate") == len(scored.ids)
    np.testing.assert_allclose(scored.scores[rows], stored.scores, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["mean", "--members", "LOGISTIC"], "^members must be at least 2 runs or registered models, got 1$"),
        (["mean", "--members", "LOGISTIC,LOGISTIC"], "^members must be distinct, run [0-9a-f]+ is there twice$"),
        (["mean", "--members", "LOGISTIC,nobody"], "^run must be the id of a run on .* got 'nobody'$"),
        (
            ["mean", "--members", "LOGISTIC,models:/none@champion"],
            "^there must be a registered model version models:/none",
        ),
        (
            ["mean", "--members", "LOGISTIC,INGEST"],
            "^run [0-9a-f]+ must have a model to promote; it is a run of ingest$",
        ),
        (
            ["mean", "--members", "LOGISTIC,ENSEMBLE"],
            "^members must be classifiers, run [0-9a-f]+ is an ensemble_mean$",
        ),
    ],
)
def test_what_cannot_be_a_member_is_told_in_one_sentence(words, sentence, runs, here):
    known = {"LOGISTIC": here.runs("train_logistic")[0], "INGEST": here.runs("ingest")[0]}
    known = {word: run.info.run_id for word, run in known.items()} | {"ENSEMBLE": runs["mean"].id}
    for word, run in known.items():
        words = [each.replace(word, run) for each in words]
    with pytest.raises(ValueError, match=sentence):
        ensemble.main(words)
