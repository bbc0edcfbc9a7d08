"""The whole job, once, on small demo data: the tests of the steps look at what it left."""

import contextlib
import dataclasses
import io
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from steps import demo_data, main

WORDS = ["--tables", "table1,table2,table3,table6"]  # of the whole job; the others take minutes


@dataclasses.dataclass(frozen=True)
class Job:
    """A working folder in which `main` has run, what it printed, and its command line."""

    folder: Path
    printed: str
    tracking: str
    words: list[str] = dataclasses.field(default_factory=list)

    def runs(self, entry: str) -> list:
        """The finished runs of an entry point, the newest first."""
        condition = f"tags.`mmvid.entry` = '{entry}' and attributes.status = 'FINISHED'"
        return mlflow.MlflowClient().search_runs(["0"], condition)

    def version_of(self, model: str, number: str = "1") -> Run:
        """The run of a version of a registered model."""
        client = mlflow.MlflowClient()
        return client.get_run(client.get_model_version(model, number).run_id)

    def running(self) -> list:
        """The runs that have not ended."""
        return mlflow.MlflowClient().search_runs(["0"], "attributes.status = 'RUNNING'")


@pytest.fixture(scope="session")
def make_job() -> type[Job]:
    """For a module that fills a folder of its own."""
    return Job


@pytest.fixture(scope="session")
def job(tmp_path_factory) -> Job:
    folder = tmp_path_factory.mktemp("job")
    tracking = f"sqlite:///{folder}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.chdir(folder)
        patch.setenv("MMVID_HOME", str(folder / "data"))
        patch.setenv("MLFLOW_TRACKING_URI", tracking)
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        mlflow.set_tracking_uri(tracking)
        demo_data.main(["--videos", "800", "--seed", "3"])
        main.main(WORDS)
        yield Job(folder, printed.getvalue(), tracking, WORDS)
        mlflow.set_tracking_uri(None)


@pytest.fixture
def here(job, monkeypatch):
    """The job's folder as the working folder."""
    monkeypatch.chdir(job.folder)
    monkeypatch.setenv("MMVID_HOME", str(job.folder / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", job.tracking)
    mlflow.set_tracking_uri(job.tracking)
    return job
