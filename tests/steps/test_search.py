"""The search as a command: one run with a run a trial below it, candidates, figures, what a kill leaves."""

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow
import pytest

from steps import demo_data, search

SPACE = "epochs=3,learning_rate=0.01:0.1:log"
SMALL = ["--model", "logistic", "--startup", "2", "--warmup", "1", "--seeds", "0,1", "--space", SPACE]


@pytest.fixture(scope="module")
def place(tmp_path_factory, make_job):
    """A folder with small demo data."""
    folder = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MMVID_HOME", str(folder / "data"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        patch.delenv("MMVID_STUDY_STORAGE", raising=False)
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        demo_data.main(["--videos", "800", "--frame_videos", "0", "--seed", "3"])
        yield make_job(folder, "", f"sqlite:///{folder}/mlflow.db")
        mlflow.set_tracking_uri(None)


@pytest.fixture
def here(place, monkeypatch):
    """That folder as the working folder, its store as MLflow's."""
    monkeypatch.chdir(place.folder)
    mlflow.set_tracking_uri(place.tracking)
    return place


def children(run, entry: str = "trial") -> list:
    condition = f"tags.`mlflow.parentRunId` = '{run.info.run_id}' and tags.`mmvid.entry` = '{entry}'"
    return mlflow.MlflowClient().search_runs(["0"], condition, order_by=["attributes.start_time ASC"])


def artifact(run, name: str) -> str:
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=name)).read_text()


def test_a_search_tunes_on_dev_and_trains_candidates(here, capsys):
    storage = f"sqlite:///{here.folder}/studies.db"
    search.main([*SMALL, "--trials", "3", "--storage", storage, "--baseline", "True"])
    (run,) = here.runs("search")
    trials = children(run)
    assert [trial.info.run_name for trial in trials] == ["trial 0", "trial 1", "trial 2"]
    for trial in trials:
        assert trial.info.status == "FINISHED" and trial.data.params.keys() == {
            "learning_rate",
            "batch_size",
            "l2_penalty",
        }
        assert len(mlflow.MlflowClient().get_metric_history(trial.info.run_id, "dev/gap")) >= 1
        assert not [name for name in trial.data.metrics if name.startswith(("gate", "validate"))]
    best = json.loads(artifact(run, "best.json"))
    assert best["options"]["epochs"] == 3
    assert run.data.metrics["best/dev/gap"] == pytest.approx(max(t.data.metrics["best/dev/gap"] for t in trials))
    candidates = [child for child in children(run, "train_logistic") if "mmvid.search.run" in child.data.tags]
    assert len(candidates) == 4  # the best and the defaults, two seeds each
    assert {candidate.data.params["epochs"] for candidate in candidates} == {"3"}
    gaps = [c.data.metrics["validate/gap"] for c in candidates if c.data.params["learning_rate"] != "0.01"]
    assert run.data.metrics["best/validate/gap"] == pytest.approx(sum(gaps) / 2)

    names = {item.path for item in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert {"report.html", "history.png", "curves.png", "slices.png", "parallel.png", "trials.md"} <= names
    rows = list(csv.DictReader(io.StringIO(artifact(run, "trials.csv"))))
    assert [row["run"] for row in rows] == [trial.info.run_id for trial in trials]
    page = artifact(run, "report.html")
    assert "default-src 'none'" in page and "<script src=" not in page and len(page) > 3_000_000
    assert f"optuna-dashboard '{storage}'" in run.data.tags["mlflow.note.content"]
    assert "default: validate/gap" in capsys.readouterr().out

    search.main([*SMALL, "--trials", "4", "--storage", storage])  # goes on in the same study and the same run
    (again,) = here.runs("search")
    assert again.info.run_id == run.info.run_id and len(children(again)) == 4


def test_the_dashboard_shows_the_study(here):
    journal = here.folder / "dashboard.log"
    search.main([*SMALL, "--trials", "1", "--storage", str(journal), "--study", "mine"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("optuna-dashboard"), str(journal), "--host", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as shown:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=10) as answer:
                        studies = json.load(answer)
                    break
                except OSError:
                    assert time.monotonic() < deadline and shown.poll() is None
                    time.sleep(0.2)
        finally:
            shown.terminate()
    assert "mine" in json.dumps(studies)


def test_a_classifier_of_words_is_searched_and_one_that_counts_has_one_candidate(here):
    space = ["--space", "alpha=0.001:0.1:log,text_fields=title|title,keywords"]
    search.main(["--model", "unigram", "--trials", "2", *space, "--storage", str(here.folder / "words.log")])
    run = here.runs("search")[0]
    assert [trial.data.params.keys() for trial in children(run)] == [{"alpha", "text_fields"}] * 2
    (candidate,) = children(run, "train_unigram")  # though there are three seeds
    assert run.data.metrics["best/validate/gap"] == candidate.data.metrics["validate/gap"]
    assert len(here.runs("build_text")) == 1


def test_two_objectives_make_a_front(here):
    words = ["--model", "moe", "--objectives", "gap,parameters", "--sampler", "nsga2", "--startup", "2"]
    space = ["--space", "epochs=1,experts=1:4"]
    search.main([*words, *space, "--trials", "3", "--seeds", "0", "--storage", str(here.folder / "front.log")])
    run = here.runs("search")[0]
    names = {item.path for item in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert "pareto_front.png" in names
    assert {"best/dev/gap", "best/parameters"} <= run.data.metrics.keys()


@pytest.mark.slow
def test_a_search_killed_with_9_goes_on_with_its_trial(here):
    words = ["--model", "logistic", "--trials", "2", "--seeds", "0", "--space", "epochs=12,learning_rate=0.001:0.002"]
    command = [sys.executable, "-m", "steps.search", *words]
    environment = os.environ | {"PYTHONPATH": str(Path(search.__file__).parents[1])}
    checkpoints = here.folder / "data" / "checkpoints"
    with subprocess.Popen(command, cwd=here.folder, env=environment, stderr=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 120
        while not list(checkpoints.glob("search-*/last.ckpt")):
            assert killed.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
    before = {run.info.run_id for run in here.running()}
    assert len(before) == 2  # the search's run and its trial's
    search.main(words)
    assert here.running() == []
    run = here.runs("search")[0]
    assert run.info.run_id in before  # it was taken up, not made anew
    states = [row["state"] for row in csv.DictReader(io.StringIO(artifact(run, "trials.csv")))]
    assert states == ["killed", "complete", "complete"]
    assert [trial.info.status for trial in children(run)] == ["KILLED", "FINISHED", "FINISHED"]
    assert not list(checkpoints.glob("search-*"))


@pytest.mark.kills
def test_a_second_command_joins_the_search(here, postgres):
    """As two machines do: the study and the runs lie in PostgreSQL."""
    runs = postgres.database()
    environment = os.environ | {"PYTHONPATH": str(Path(search.__file__).parents[1]), "MLFLOW_TRACKING_URI": runs}
    words = [
        "--model",
        "logistic",
        "--trials",
        "8",
        "--seeds",
        "0",
        "--pruner",
        "none",
        "--storage",
        postgres.database(),
    ]
    words += ["--space", "epochs=20,patience=20,learning_rate=0.001:0.002"]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "steps.search", *words],
            cwd=here.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=500) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    mlflow.set_tracking_uri(runs)
    (run,) = here.runs("search")
    assert here.running() == []
    trials = children(run)
    assert {trial.info.run_name for trial in trials} == {f"trial {number}" for number in range(len(trials))}
    assert len(trials) == 8
    assert len({trial.data.tags["mmvid.process"] for trial in trials}) == 2
    assert sum("other processes are at it still" in out for out, _ in said) == 1  # the other one concludes
    assert len(children(run, "train_logistic")) == 1
    assert len(list(csv.DictReader(io.StringIO(artifact(run, "trials.csv"))))) == len(trials)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model", "mow"], "^unknown model 'mow'; there are .*logistic, .*moe"),
        (["--objectives", "loss"], "^objectives must be of gap, map, hit_at_1, perr, parameters, got loss$"),
        (["--objectives", "parameters"], "^objectives must have one that is measured on dev, got parameters alone$"),
        (["--space", "expert=2"], "^space: there is no option 'expert'; did you mean experts"),
        (["--storage", "postgresql://me:secret@host/db"], "^storage must hold no password"),
        (["--pruner", "median", "--objectives", "gap,parameters"], "^pruner median judges by one objective"),
    ],
)
def test_a_mistake_is_told_before_any_trial(here, words, sentence):
    before = len(here.runs("search")), len(here.running())
    with pytest.raises(ValueError, match=sentence):
        search.main(words)
    assert (len(here.runs("search")), len(here.running())) == before
