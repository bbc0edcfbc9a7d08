"""The commands of segmentation, run on small pictures: training, finding, serving, segmenting files."""

import base64
import dataclasses
import io
import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
from made_clips import square_clips
from PIL import Image

from mmvid import segmentation_serving
from mmvid.animation import write_mp4
from mmvid.console import run_command
from mmvid.registry.versions import aliased
from mmvid.segmentation import predictions
from steps import promote, segment, train_segmentation, train_unet, train_videogpt, train_vqvae

SIZES = {"sequence_length": 4, "resolution": 16, "stride": "2,4,4", "codes": 16, "code_size": 8, "hidden": 16}
GPT = {"width": 24, "heads": 2, "layers": 1, "resnet_width": 4, "resnet_size": 12}
BUDGET = {"steps": 2, "checks": 1, "batch_size": 6, "measured_clips": 2, "frame_stride": 1}
UNET = {"widths": "8,16", "epochs": 8, "batch_size": 4, "learning_rate": 5e-3, "patience": 0}


def words(**options) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def newest(entry: str) -> mlflow.entities.Run:
    return mlflow.MlflowClient().search_runs(["0"], f"tags.`mmvid.entry` = '{entry}'")[0]


def picture(place: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A bright square on a dark picture, and its mask as values of categories."""
    pixels = np.random.default_rng(place).integers(0, 80, (16, 16, 3), np.uint8)
    values = np.zeros((16, 16), np.uint8)
    values[place[0] : place[0] + 6, place[1] : place[1] + 6] = 1
    pixels[values == 1] += 140
    return pixels, values


@dataclasses.dataclass(frozen=True)
class Trained:
    """A working folder with labelled pictures, an encoder, a U-Net and a head."""

    masks: list[str]
    encoder: str
    unet: mlflow.entities.Run
    head: mlflow.entities.Run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmentation")
    generator = np.random.default_rng(0)
    for number in range(40):
        parts = dict(zip(("images", "masks"), picture(tuple(generator.integers(0, 10, 2))), strict=True))
        for kind, pixels in parts.items():
            path = folder / "export" / kind / f"scene{number // 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    masks = words(masks=folder / "export", mask_values="robot=1", dev_share=0.2)
    store = square_clips(folder / "clips").folder
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MMVID_HOME", str(folder / "data"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        train_vqvae.main(words(data=store, **SIZES, **BUDGET))
        vqvae = newest("train_vqvae").info.run_id
        train_videogpt.main(words(data=store, vqvae=vqvae, **GPT, **BUDGET))
        encoder = newest("train_videogpt").info.run_id
        train_unet.main(masks + words(**UNET))
        head = {"head": "linear", "encoder": encoder, "epochs": 2, "finetune": True, "encoder_learning_rate": 1e-3}
        train_segmentation.main(masks + words(**head))
        yield Trained(masks, encoder, newest("train_unet"), newest("train_segmentation"))
        mlflow.set_tracking_uri(None)


def artifacts(run: mlflow.entities.Run, folder: str = "") -> list[str]:
    return [file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, folder)]


def test_a_u_net_logs_measures_a_gallery_its_masks_and_a_model(trained, tmp_path):
    client, run = mlflow.MlflowClient(), trained.unet
    assert run.info.status == "FINISHED" and run.data.params["head"] == "unet"
    for name in ("train/loss", "dev/dice", "train/learning_rate"):
        assert len(client.get_metric_history(run.info.run_id, name)) == 8
    metrics = run.data.metrics
    for split in ("dev", "gate", "validate"):
        for name in ("iou", "iou_pooled", "dice", "mean_mask/iou", "constant_mask/iou"):
            assert f"{split}/{name}" in metrics
    assert metrics["validate/iou"] > metrics["validate/constant_mask/iou"] + 0.2
    assert metrics["epochs_trained"] == 8 and metrics["steps"] % 8 == 0
    assert metrics["best_steps"] == metrics["steps"] / 8 * (metrics["best_epoch"] + 1)
    assert {"config.json", "gallery.png"} < set(artifacts(run))
    local = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="predictions", dst_path=tmp_path)
    found = predictions.read(Path(local) / "validate.arrow")
    assert found.key == run.data.tags["mmvid.key"]
    assert found.overlaps.mean() == pytest.approx(metrics["validate/iou"])
    assert "the mean mask" in run.data.tags["mlflow.note.content"]


def test_the_same_training_is_found(trained, capsys):
    before = len(mlflow.MlflowClient().search_runs(["0"]))
    train_unet.main(trained.masks + words(**UNET))
    assert trained.unet.info.run_id in capsys.readouterr().out
    assert len(mlflow.MlflowClient().search_runs(["0"])) == before


def test_a_fine_tuned_head_tells_its_encoder_and_serves_alone(trained):
    tags = trained.head.data.tags
    encoder = mlflow.MlflowClient().get_run(trained.encoder)
    assert tags["mmvid.input.encoder"] == encoder.data.tags["mmvid.key"]
    config = json.loads(mlflow.artifacts.load_text(f"{trained.head.info.artifact_uri}/config.json"))
    assert config["latent"]["latent"] == "resnet" and config["use"]["finetune"] is True
    package = segmentation_serving.load_logged(tags["mmvid.model"])
    assert package.encoder.key == f"{tags['mmvid.key']}.encoder" and package.target == ("robot",)


@pytest.mark.parametrize("which", ["unet", "head"])
def test_a_model_answers_requests(trained, which):
    model = mlflow.pyfunc.load_model(getattr(trained, which).data.tags["mmvid.model"])
    content = io.BytesIO()
    pixels, values = picture((4, 5))
    Image.fromarray(pixels).save(content, format="PNG")
    encoded = base64.b64encode(content.getvalue()).decode()
    both = model.predict([{"id": "a", "picture": encoded}, {"id": "b", "picture": pixels.tolist()}])
    masks = [np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["mask"])))) for answer in both]
    assert masks[0].shape == (16, 16) and np.array_equal(*masks)
    if which == "unet":
        assert ((masks[0] > 0) == (values > 0)).mean() > 0.9 and both[0]["polygons"]


def test_the_gate_decides_on_pictures(trained, capsys):
    """The U-Net becomes champion; the head of two epochs misses the bar, and the champion stays."""
    promote.main(words(run=trained.unet.info.run_id, model="mmvid-segmenter"))
    assert "version 1 is champion" in capsys.readouterr().out
    promoted = newest("promote").data
    for name in ("iou", "dice", "mean_mask/iou"):
        assert promoted.metrics[f"candidate/{name}"] == pytest.approx(trained.unet.data.metrics[f"gate/{name}"])
    version = mlflow.MlflowClient().get_model_version_by_alias("mmvid-segmenter", "champion")
    assert "A segmenter of robot: `unet`" in version.description and "for one picture" in version.description
    promote.main(words(run=trained.head.info.run_id, model="mmvid-segmenter"))
    printed = capsys.readouterr().out
    assert (
        "version 2 stays a candidate" in printed and "misses the bar" in printed and "the gain may be noise" in printed
    )
    assert aliased("mmvid-segmenter", "champion") == "1"
    assert newest("promote").data.metrics["gain"] < 0
    measured = newest("measure").info.run_id
    local = mlflow.artifacts.download_artifacts(run_id=measured, artifact_path="predictions/gate.arrow")
    assert len(predictions.read(Path(local))) > 0


def test_files_are_segmented(trained, tmp_path, capsys):
    frames = np.stack([picture((2, place))[0] for place in range(8)]).repeat(2, 1).repeat(2, 2)
    write_mp4(tmp_path / "push.mp4", frames)
    run = trained.unet.info.run_id
    segment.main(words(input=tmp_path / "push.mp4", model=run, output=tmp_path / "out"))
    assert "8 masks of robot" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"push_mask.mkv", "push_overlay.mp4", "segments.csv"}
    assert len((tmp_path / "out" / "segments.csv").read_text().splitlines()) == 9
    logged = newest("segment")
    assert logged.data.metrics["pictures"] == 8 and "segments.csv" in artifacts(logged)


@pytest.mark.parametrize(
    ("step", "given", "sentence"),
    [
        (
            train_segmentation,
            {"head": "unet"},
            "head must be one of attention, dense, heavy, light, linear, got 'unet'",
        ),
        (train_segmentation, {"head": "linear", "heads": 4}, "heads must not be given with head=linear"),
        (train_segmentation, {"head": "linear", "latent": "noise", "finetune": True}, "finetune must be left out"),
        (train_segmentation, {"target": "hand"}, "has no masks of 'hand', only of robot"),
        (segment, {"input": "nowhere"}, "there is no nowhere"),
        (segment, {}, "input must be given"),
        (segment, {"input": ".", "model": "models:/none@champion"}, "input must be a folder with pictures"),
        (
            segment,
            {"input": "export/images/scene0", "output": "export/images/scene1/../scene0"},
            "output must be another folder than input",
        ),
    ],
)
def test_a_fault_is_one_sentence(trained, step, given, sentence, capsys, monkeypatch):
    given = {"encoder": trained.encoder} | given if step is train_segmentation else given
    monkeypatch.setattr("sys.argv", ["step", *(trained.masks if step is train_segmentation else []), *words(**given)])
    with pytest.raises(SystemExit) as ended:
        run_command(step.main)
    assert ended.value.code == 1 and sentence in capsys.readouterr().err
