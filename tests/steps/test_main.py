"""The whole job on made data: what it prints, what it logs, what it promotes."""

import json
from pathlib import Path

import mlflow
import pytest

from mmvid import predictions, serving
from mmvid.registry.versions import aliased
from steps import main, promote, train

METRICS = {f"{split}/{name}" for split in ("gate", "validate") for name in ("gap", "map", "hit_at_1", "perr")}


@pytest.fixture(params=["mmvid-logistic", "mmvid-moe"])
def trained(job, request):
    return job.version_of(request.param)


def test_the_table_says_that_its_data_is_made(job):
    assert "# demo data (made)" in job.printed
    assert "| logistic" in job.printed and "| moe" in job.printed
    assert "mmvid-classifier: champion is version 1" in job.printed
    assert "mlflow ui --backend-store-uri" in job.printed and "workflowType=machine_learning" in job.printed


def test_a_training_run_has_metrics_of_all_groups_and_epochs(trained):
    metrics = trained.data.metrics
    assert METRICS <= metrics.keys()
    assert {
        "validate/with_text/gap",
        "validate/without_text/gap",
        "train/loss",
        "dev/gap",
        "seconds/fit",
    } <= metrics.keys()
    history = mlflow.MlflowClient().get_metric_history(trained.info.run_id, "dev/gap")
    assert len(history) > 1 and [point.step for point in history] == list(range(len(history)))
    assert 0.2 < metrics["validate/gap"] < 1  # the labels alone reach 0.05


def test_a_training_run_has_its_parameters_inputs_and_artifacts(job, trained):
    client = mlflow.MlflowClient()
    assert trained.data.params["learning_rate"] == "0.01"
    assert trained.data.tags["mmvid.git.commit"]
    (data,) = trained.inputs.dataset_inputs
    assert json.loads(data.dataset.profile)["videos"]["train"] > 0
    names = {item.path for item in client.list_artifacts(trained.info.run_id)}
    assert {"config.json", "predictions", "precision_by_frequency.png"} <= names
    folder = mlflow.artifacts.download_artifacts(run_id=trained.info.run_id, artifact_path="predictions")
    stored = predictions.read(Path(folder) / "validate.arrow")
    assert stored.key == trained.data.tags["mmvid.key"]
    from mmvid import evaluation

    assert evaluation.score(stored)["gap"] == pytest.approx(trained.data.metrics["validate/gap"])


def test_every_run_is_below_the_main_run(job):
    (parent,) = job.runs("main")
    for entry in ("ingest", "train_logistic", "train_moe", "promote"):
        meanwhile = [run for run in job.runs(entry) if run.info.start_time < parent.info.end_time]
        assert {run.data.tags.get("mlflow.parentRunId") for run in meanwhile} == {parent.info.run_id}


def test_the_better_classifier_is_the_champion(job):
    rows = [job.version_of(f"mmvid-{name}") for name in ("logistic", "moe", "moe-text")]
    best = max(rows, key=lambda run: run.data.metrics["gate/gap"])
    assert serving.load_logged("models:/mmvid-classifier@champion").key == best.data.tags["mmvid.key"]
    assert serving.load_logged("models:/mmvid-moe@champion").encoder is None
    with_text = serving.load_logged("models:/mmvid-moe-text@champion")
    assert {"visual", "audio", "keywords"} == set(with_text.model.modalities)
    record = {"keywords": ["dog", "video game"], "options": {"top_k": 3}}
    (answer,) = serving.Service(with_text).answer([record])
    assert len(answer["labels"]) == 3


def test_a_second_time_nothing_is_trained(here, capsys):
    before = {entry: len(here.runs(entry)) for entry in ("ingest", "train_logistic", "train_moe")}
    main.main(here.words)
    assert {entry: len(here.runs(entry)) for entry in before} == before
    assert "is the champion already" in capsys.readouterr().out


def test_force_trains_again_to_the_same_numbers(here):
    train.main(["logistic", "--force", "True"])
    again, first = here.runs("train_logistic")[:2]
    assert again.data.tags["mmvid.key"] == first.data.tags["mmvid.key"]
    assert {name: again.data.metrics[name] for name in METRICS} == {name: first.data.metrics[name] for name in METRICS}


def test_a_better_candidate_is_promoted_a_worse_one_refused_and_a_promotion_rolled_back(here, capsys):
    rules = here.folder / "trial.yaml"
    rules.write_text("trial: {metric: gap}\n")
    good = here.runs("train_moe")[-1].info.run_id  # without text
    train.main(["moe", "--epochs", "1", "--learning_rate", "0.0001"])
    worse = here.runs("train_moe")[0].info.run_id

    def put_forward(run: str) -> tuple[str | None, str | None, str | None, str]:
        promote.main(["--run", run, "--model", "trial", "--rules", str(rules)])
        aliases = (aliased("trial", alias) for alias in ("candidate", "champion", "previous"))
        return (*aliases, capsys.readouterr().out)

    candidate, champion, previous, said = put_forward(worse)
    assert (candidate, champion, previous) == ("1", "1", None) and "there is no champion yet" in said
    candidate, champion, previous, said = put_forward(good)
    assert (candidate, champion, previous) == ("2", "2", "1") and "beats the champion's" in said
    candidate, champion, previous, said = put_forward(worse)  # registered already: no third version
    assert (candidate, champion, previous) == ("1", "2", "1") and "does not beat the champion's" in said

    promote.main(["--model", "trial", "--rollback", "True"])
    assert (aliased("trial", "champion"), aliased("trial", "previous")) == ("1", "2")
    refused = mlflow.MlflowClient().get_model_version("trial", "1")  # once champion: its card stays
    assert refused.tags["mmvid.gate"] == "passed" and "mmvid.refused_since" in refused.tags


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--run", "nothing"], "^run must be the id of a run on sqlite.*, got 'nothing'$"),
        ([], "^run must be given: the id of the run whose model is the candidate$"),
        (["--model", "mmvid-logistic", "--rollback", "True"], "^mmvid-logistic must have a champion and a previous"),
    ],
)
def test_promotion_of_nothing_is_one_sentence(here, words, sentence):
    with pytest.raises(ValueError, match=sentence):
        promote.main(words)
