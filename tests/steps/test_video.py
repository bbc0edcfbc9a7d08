"""The commands of video prediction, run on small stores: training, finding, predicting, importing, serving."""

import base64
import dataclasses
import io
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from made_clips import square_clips
from PIL import Image

from mmvid import encoder_serving
from mmvid.animation import write_mp4
from mmvid.published.videogpt import import_checkpoint
from mmvid.registry.versions import aliased
from steps import export_videogpt, import_videogpt, predict_video, train_videogpt, train_vqvae

SIZES = {"sequence_length": 4, "resolution": 16, "stride": "2,4,4", "codes": 16, "code_size": 8, "hidden": 16}
BUDGET = {"steps": 4, "checks": 2, "batch_size": 6, "measured_clips": 3, "frame_stride": 1}
GPT = {"width": 24, "heads": 2, "layers": 1, "resnet_width": 4, "resnet_size": 12, "aligned_condition": False}


def words(**options) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A working folder in which a VQ-VAE and a VideoGPT were trained on a store."""

    folder: str
    store: str
    vqvae: mlflow.entities.Run
    videogpt: mlflow.entities.Run


def newest(entry: str) -> mlflow.entities.Run:
    return mlflow.MlflowClient().search_runs(["0"], f"tags.`mmvid.entry` = '{entry}'")[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("video")
    store = square_clips(folder / "clips").folder
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MMVID_HOME", str(folder / "data"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        train_vqvae.main(words(data=store, **SIZES, **BUDGET))
        vqvae = newest("train_vqvae")
        train_videogpt.main(words(data=store, vqvae=vqvae.info.run_id, **GPT, **BUDGET))
        yield Trained(str(folder), str(store), vqvae, newest("train_videogpt"))
        mlflow.set_tracking_uri(None)


def artifacts(run: mlflow.entities.Run, folder: str) -> list[str]:
    return [file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, folder)]


def test_a_vqvae_logs_its_measures_pictures_and_a_registered_model(trained):
    client, run = mlflow.MlflowClient(), trained.vqvae
    assert run.info.status == "FINISHED" and run.data.params["stride"] == "[2, 4, 4]"
    for name in ("dev/psnr", "dev/ssim", "dev/perplexity", "dev/usage", "train/loss"):
        assert [point.step for point in client.get_metric_history(run.info.run_id, name)] == [0, 1]
    steps = client.get_metric_history(run.info.run_id, "validate/psnr_by_step")
    assert [point.step for point in steps] == [0, 1, 2, 3]
    assert np.mean([point.value for point in steps]) == pytest.approx(run.data.metrics["validate/psnr"])
    assert artifacts(run, "animations") == [
        "animations/check_0000.gif",
        "animations/check_0001.gif",
        "animations/validate.gif",
        "animations/validate.mp4",
    ]
    assert len([name for name in artifacts(run, "images") if name.endswith(".png")]) == 3
    assert aliased("mmvid-vqvae", "candidate") == "1"
    package = encoder_serving.load_logged("models:/mmvid-vqvae@candidate")
    assert package.key == run.data.tags["mmvid.key"] and package.origin == "squares"


def test_a_videogpt_is_measured_beside_the_copy_of_its_frame(trained):
    metrics = trained.videogpt.data.metrics
    for name in ("psnr", "ssim", "copy_psnr", "copy_ssim", "best_psnr", "reconstruction_psnr", "psnr_by_step"):
        assert f"validate/{name}" in metrics
    assert trained.videogpt.data.tags["mmvid.input.vqvae"] == trained.vqvae.data.tags["mmvid.key"]
    assert "from 1 given" in trained.videogpt.data.tags["mlflow.note.content"]


def test_the_same_training_is_found(trained, capsys):
    before = len(mlflow.MlflowClient().search_runs(["0"]))
    train_videogpt.main(words(data=trained.store, vqvae=trained.vqvae.info.run_id, **GPT, **BUDGET))
    assert trained.videogpt.info.run_id in capsys.readouterr().out
    assert len(mlflow.MlflowClient().search_runs(["0"])) == before
    assert aliased("mmvid-videogpt", "candidate") == "1"


@pytest.mark.parametrize("kind", ["store", "png", "mp4"])
def test_clips_are_predicted_from_a_store_a_picture_or_a_video(trained, tmp_path, kind):
    place = trained.store
    if kind == "png":
        place = tmp_path / "frame.png"
        Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(place)
    elif kind == "mp4":
        place = tmp_path / "clip.mp4"
        write_mp4(place, np.random.default_rng(0).integers(0, 255, (6, 32, 48, 3), np.uint8))
    predict_video.main(words(input=place, model=trained.videogpt.info.run_id, clips=2, samples=2, temperature=0.9))
    run = newest("predict_video")
    found = artifacts(run, "predictions")
    assert {"predictions/0.gif", "predictions/0.mp4", "predictions/0.png"} <= set(found)
    assert len(found) == (6 if kind == "store" else 3)
    assert ("psnr" in run.data.metrics and "copy_psnr" in run.data.metrics) == (kind != "png")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"input": "nowhere"}, "nothing is at nowhere"),
        ({"model": "models:/mmvid-vqvae@candidate"}, "^model must be a VideoGPT, .* is a vqvae$"),
        ({"classes": "1"}, "^classes must be the model's, which is not conditioned on classes; got 1$"),
        ({"model": "models:/nobody@candidate"}, "^models:/nobody@candidate must name a model on "),
    ],
)
def test_what_cannot_be_predicted_is_told_in_a_sentence(trained, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        predict_video.main(words(**{"input": trained.store, "model": trained.videogpt.info.run_id} | options))


def test_a_logged_videogpt_is_served(trained):
    model = mlflow.pyfunc.load_model("models:/mmvid-videogpt@candidate")
    content = io.BytesIO()
    Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(content, format="PNG")
    frame = base64.b64encode(content.getvalue()).decode()
    clip, features = model.predict(
        [{"id": "a", "frames": [frame]}, {"id": "b", "frames": [frame], "options": {"answer": "features"}}]
    )
    assert Image.open(io.BytesIO(base64.b64decode(clip["gif"]))).n_frames > 0 and clip["frames"] == 4
    assert clip["id"] == "a" and features["shape"] == [1, 4, 4, 12]


def test_a_published_checkpoint_becomes_a_registered_model(trained, shared):
    checkpoint = shared / "golden" / "videogpt" / "small_full.gpt.ckpt"
    import_videogpt.main(words(checkpoint=checkpoint, export=True))
    run = newest("import_videogpt")
    version = aliased("mmvid-videogpt", "candidate")
    assert version != "1" and artifacts(run, "published") == ["published/gpt.ckpt", "published/vqvae.ckpt"]
    package = encoder_serving.load_logged(f"models:/mmvid-videogpt/{version}")
    assert package.model.vqvae.config.resolution == 16 and package.origin == "checkpoint small_full.gpt.ckpt"
    mlflow.MlflowClient().set_registered_model_alias("mmvid-videogpt", "candidate", "1")


def test_a_model_of_classes_draws_clips_without_an_input(trained, shared):
    import_videogpt.main(words(checkpoint=shared / "golden" / "videogpt" / "small_class.gpt.ckpt"))
    model = newest("import_videogpt").info.run_id
    mlflow.MlflowClient().set_registered_model_alias("mmvid-videogpt", "candidate", "1")
    predict_video.main(words(model=model, clips=3, classes="4,1"))
    run = newest("predict_video")
    clips = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/clips.json")
    assert [clip["class"] for clip in clips] == [4, 1, 4] and {clip["frames"] for clip in clips} == {0}
    assert "predictions/2.gif" in artifacts(run, "predictions") and "psnr" not in run.data.metrics
    with pytest.raises(ValueError, match="^classes must be the model's, which has the classes 0 to 4; got 4,5$"):
        predict_video.main(words(model=model, classes="4,5"))
    with pytest.raises(ValueError, match="^input must be left out for a model without given frames"):
        predict_video.main(words(model=model, input=trained.store))


def test_a_trained_videogpt_is_exported_in_the_published_format(trained):
    export_videogpt.main(words(model=trained.videogpt.info.run_id))
    run = newest("export_videogpt")
    assert artifacts(run, "published") == ["published/gpt.ckpt", "published/vqvae.ckpt"]
    file = mlflow.artifacts.download_artifacts(f"{run.info.artifact_uri}/published/gpt.ckpt")
    own = encoder_serving.load_logged("models:/mmvid-videogpt/1").model.state_dict()
    again = import_checkpoint(Path(file)).state_dict()
    assert own.keys() == again.keys() and all(torch.equal(own[name], again[name]) for name in own)


def test_import_asks_for_a_checkpoint(trained):
    with pytest.raises(ValueError, match="^checkpoint must be given"):
        import_videogpt.main([])
