"""A promoted model behind MLflow's own scoring server."""

import json
import os
import sys
import urllib.error
import urllib.request

import http_server
import pytest


@pytest.fixture(scope="module")
def server(job):
    """The address of `mlflow models serve` on the promoted mixture of experts."""
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/mmvid-moe@champion"]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p"]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": job.tracking,
        "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    # From a folder without our steps: the model must bring or need nothing of them.
    more = {"env": environment, "cwd": job.folder}
    with http_server.running(command, "/ping", job.folder / "server.log", **more) as address:
        yield address


def post(server: str, body) -> tuple[int, dict]:
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{server}/invocations", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.slow
def test_records_are_answered_with_labels(server):
    records = [
        {"id": "both", "mean_rgb": [0.5] * 1024, "mean_audio": [1] * 128, "options": {"top_k": 3}},
        {"id": "audio only", "mean_audio": [0] * 127 + [1]},
    ]
    status, answer = post(server, {"inputs": records})
    assert status == 200
    both, audio_only = answer["predictions"]
    assert both["id"] == "both" and len(both["labels"]) == 3 and len(audio_only["labels"]) == 20
    assert set(both["labels"][0]) == {"id", "name", "score"}
    scores = [label["score"] for label in both["labels"]]
    assert scores == sorted(scores, reverse=True) and all(0 <= score <= 1 for score in scores)


@pytest.mark.slow
def test_dense_answers_have_all_scores(server):
    status, answer = post(server, {"inputs": [{"mean_rgb": [0.5] * 1024, "options": {"dense": True}}]})
    assert status == 200 and len(answer["predictions"][0]["scores"]) == 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"mean_rgb": [0.5] * 3}, "record 0: mean_rgb must be 1024 numbers, got 3"),
        ({"video": [0.5]}, "record 0: unknown key 'video'; there are id, mean_rgb, rgb, mean_audio, audio, options"),
        ({"mean_rgb": [float("nan")] * 1024}, "record 0: mean_rgb must be finite, number 0 is nan"),
        ({}, "record 0 must have at least one of mean_rgb, rgb, mean_audio, audio"),
        (
            {"mean_rgb": [0.5] * 1024, "options": {"best": 3}},
            "record 0: best must not be given: there is no such option",
        ),
    ],
)
def test_a_bad_record_is_400_and_one_sentence(server, record, sentence):
    assert post(server, {"inputs": [record]}) == (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": sentence})


@pytest.mark.slow
def test_no_records_is_400_and_one_sentence(server):
    status, answer = post(server, {"inputs": []})
    assert (status, answer["message"]) == (400, "inputs must hold at least one record, got none")
