"""Addresses of MLflow's pages, as people click them."""

import mlflow

from mmvid.runs import Finished


def run_address(run: Finished) -> str:
    """The page of a run: of a server with its address, else one that works on the pages of any UI."""
    return _address(run.run.info.experiment_id, run.id)


def run_link(experiment: str, run_id: str) -> str:
    """A Markdown link to a run."""
    return f"[run {run_id}]({_address(experiment, run_id)})"


def model_training_view() -> str:
    """How to look at the runs: the command that opens the UI, and the address of its model-training view."""
    uri = mlflow.get_tracking_uri()
    view = "#/experiments?workflowType=machine_learning"
    if uri.startswith("http"):
        return f"look at the runs: {uri}/{view}"
    return f"look at the runs: mlflow ui --backend-store-uri {uri}\n    and open http://127.0.0.1:5000/{view}"


def _address(experiment: str, run_id: str) -> str:
    uri = mlflow.get_tracking_uri()
    return f"{uri if uri.startswith('http') else ''}#/experiments/{experiment}/runs/{run_id}"
