"""Promotion on made data: a dry run, the card and its tags, nested measurements, copies, and two at once."""

import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from mmvid import serving
from mmvid.registry.versions import aliased
from steps import promote, status, train

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(job, monkeypatch):
    """The job's folder as the working folder, with rules that let anything pass that is better."""
    monkeypatch.chdir(job.folder)
    monkeypatch.setenv("MMVID_HOME", str(job.folder / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", job.tracking)
    mlflow.set_tracking_uri(job.tracking)
    names = ("dry", "carded", "copied", "race", "kept", "read")
    # Of 70 videos no small gain is sure: what is asked for is that more draws than not have one.
    rules = (
        "{metric: gap, draws: 200, confidence: 0.5, losses: {rare: 0.5}, paper: arXiv:1706.05461, table: '4', row: MoE}"
    )
    (job.folder / "rules.yaml").write_text("".join(f"{name}: {rules}\n" for name in names))
    return job


def put_forward(job, entry: str, model: str, *words: str) -> str:
    run = job.runs(entry)[-1].info.run_id
    promote.main(["--run", run, "--model", model, "--rules", str(job.folder / "rules.yaml"), *words])
    return run


def test_a_dry_run_registers_and_moves_nothing(here, capsys):
    put_forward(here, "train_moe", "dry", "--dry_run", "True")
    assert "dry: a dry run: the candidate would be champion" in capsys.readouterr().out
    assert not MlflowClient().search_registered_models("name = 'dry'")
    put_forward(here, "train_logistic", "dry")
    put_forward(here, "train_moe", "dry", "--dry_run", "True")
    assert "the gain is no noise" in capsys.readouterr().out
    assert MlflowClient().get_registered_model("dry").aliases == {"candidate": 1, "champion": 1}
    (promotion, *_) = here.runs("promote")
    assert promotion.data.tags["mmvid.promoted"] == "False"


def test_the_version_has_a_card_and_tags_and_both_models_were_measured_in_nested_runs(here):
    put_forward(here, "train_logistic", "carded")
    trained = put_forward(here, "train_moe", "carded")
    client = MlflowClient()
    version = client.get_model_version_by_alias("carded", "champion")
    assert version.version == 2 and len(version.description) <= 5000
    for part in (f"[run {trained}]", "demo data (made), digest `", "| with text ", "| rarest half", "no noise: +"):
        assert part in version.description
    tags = {name: version.tags[f"mmvid.{name}"] for name in ("paper", "table", "row", "gate")}
    assert tags == {"paper": "arXiv:1706.05461", "table": "4", "row": "MoE", "gate": "passed"}
    promotion = client.get_run(version.tags["mmvid.promotion"])
    children = [run for run in here.runs("measure") if run.data.tags["mlflow.parentRunId"] == promotion.info.run_id]
    digests = {run.data.tags["mmvid.input.data"] for run in children}
    assert len(children) == 2 and digests == {version.tags["mmvid.data.digest"]}
    metrics = promotion.data.metrics
    assert metrics["gain"] == pytest.approx(metrics["candidate/gap"] - metrics["champion/gap"])
    assert metrics["gain/lower_bound"] > 0
    assert {"card.md", "decision.md"} <= {item.path for item in client.list_artifacts(promotion.info.run_id)}


def test_a_former_champion_that_is_refused_keeps_its_card(here, capsys):
    put_forward(here, "train_logistic", "kept")
    client = MlflowClient()
    before = client.get_model_version("kept", "1")
    put_forward(here, "train_moe", "kept")
    put_forward(here, "train_logistic", "kept")
    assert "kept: version 1 stays a candidate" in capsys.readouterr().out
    after = client.get_model_version("kept", "1")
    assert after.description == before.description and after.tags["mmvid.gate"] == "passed"
    assert after.tags["mmvid.refused_since"] == here.runs("promote")[0].info.run_id


def test_a_champion_is_copied_to_another_server_with_its_run(here, tmp_path, monkeypatch, capsys):
    trained = put_forward(here, "train_moe", "copied")
    other = f"sqlite:///{tmp_path}/other.db"
    monkeypatch.chdir(tmp_path)  # where a store without a server keeps artifacts
    promote.main(["--model", "copied", "--copy_to", other])
    promote.main(["--model", "copied", "--copy_to", other])  # nothing is sent twice
    assert "copied: version 1 is champion on sqlite:///" in capsys.readouterr().out
    here_client, there = MlflowClient(), MlflowClient(other, other)
    (copy,) = there.search_model_versions("name = 'copied'")
    assert there.get_registered_model("copied").aliases == {"champion": 1}
    assert copy.tags["mmvid.copied_from"] == f"{here.tracking} copied version 1"
    assert copy.tags["mmvid.copied_run"] == trained and copy.tags["mmvid.row"] == "MoE"
    assert copy.description == here_client.get_model_version("copied", "1").description
    run, origin = there.get_run(copy.run_id), here_client.get_run(trained)
    assert run.info.status == "FINISHED" and run.data.params == origin.data.params
    assert run.data.metrics["validate/gap"] == origin.data.metrics["validate/gap"]
    assert run.inputs.dataset_inputs[0].dataset.digest == origin.inputs.dataset_inputs[0].dataset.digest
    assert {item.path for item in there.list_artifacts(copy.run_id)} >= {"config.json", "predictions"}
    record = {"mean_rgb": [0.1] * 1024, "options": {"dense": True}}
    answers = []
    for uri in (here.tracking, other):
        mlflow.set_tracking_uri(uri)
        answers.append(serving.Service(serving.load_logged("models:/copied@champion")).answer([record]))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--model", "nobody", "--copy_to", "sqlite:///other.db"],
            "^nobody must have a champion to copy, it has none$",
        ),
        (["--model", "mmvid-moe", "--copy_to", "HERE"], "^copy_to must be another server than sqlite"),
        (["--rollback", "True", "--dry_run", "True"], "^rollback must be given without run, data, copy_to and dry_run"),
    ],
)
def test_a_copy_of_nothing_or_to_nowhere_is_one_sentence(here, words, sentence):
    with pytest.raises(ValueError, match=sentence):
        promote.main([here.tracking if word == "HERE" else word for word in words])


def race(folder: Path, runs: list[str]) -> None:
    """Promotes the worse and the better run at once, each by a process of its own."""
    words = ["--model", "race", "--rules", str(folder / "rules.yaml")]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "steps.promote", "--run", run, *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for run in runs
    ]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    champion = MlflowClient().get_model_version_by_alias("race", "champion")
    assert champion.tags["mmvid.run"] == runs[1], said  # whoever came first, the better one is there in the end
    assert "race: version" in said[1][0] and "is champion" in said[1][0]
    first = "beats the champion's" in said[1][0]
    assert first == ("there is no champion yet" in said[0][0]) != ("does not beat" in said[0][0])
    assert aliased("race", "previous") == (None if not first else {"1": "2", "2": "1"}[str(champion.version)])


def test_classifiers_of_words_are_measured_on_the_text_set_that_they_read(here, capsys):
    put_forward(here, "train_unigram", "read")
    version = MlflowClient().get_model_version_by_alias("read", "champion")
    run = here.runs("train_unigram")[-1]
    promotion = MlflowClient().get_run(version.tags["mmvid.promotion"])
    for metric in ("gap", "with_known_word/gap", "with_known_word/videos"):  # what training had measured, again
        assert promotion.data.metrics[f"candidate/{metric}"] == pytest.approx(run.data.metrics[f"gate/{metric}"])
    (row,) = [line for line in version.description.splitlines() if line.startswith("| with a known word")]
    assert f"{run.data.metrics['gate/with_known_word/gap']:.4f} [" in row.replace("(", "[")
    put_forward(here, "train_keywords", "read")  # reads other words of the same set; both are measured on it
    assert "with_known_word" not in capsys.readouterr().err
    (measured, *_) = [each for each in here.runs("measure") if each.data.tags["mlflow.runName"] == "measure champion"]
    assert measured.data.tags["mmvid.input.text"] == run.data.tags["mmvid.input.text"]
    with pytest.raises(ValueError, match="^text_set must be given, or made again by build_text: .* is not a text set"):
        put_forward(here, "train_keywords", "read", "--text_set", str(here.folder))


@pytest.mark.slow
def test_of_two_whole_promotions_at_once_the_better_wins_and_both_are_told(here, capsys):
    race(here.folder, [here.runs(entry)[-1].info.run_id for entry in ("train_logistic", "train_moe")])
    status.main(["--registered", "race"])
    assert "race@champion" in capsys.readouterr().out


@pytest.mark.kills
def test_the_same_with_runs_and_registry_in_postgresql(here, postgres, monkeypatch):
    uri = postgres.database()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    runs = []
    for rate in ("1e-6", "0.02"):  # the first learns next to nothing
        train.main(["logistic", "--epochs", "4", "--learning_rate", rate])
        runs.append(here.runs("train_logistic")[0].info.run_id)
    race(here.folder, runs)
