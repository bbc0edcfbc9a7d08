"""Training of segmenters: a U-Net learns discs, resumes, keeps the best epoch, and its package serves frames."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmvid.metrics import overlap
from mmvid.segmentation import experiment, package
from mmvid.segmentation.batches import MaskLoader
from mmvid.segmentation.experiment import Setup, splits_of
from mmvid.segmentation.model import Segmentation, train_only_what_is_used
from mmvid.segmentation.training import SegmentConfig, fit
from mmvid.segmenters import linear, unet

UNET = unet.Config(widths=(8, 16, 16))
CONFIG = SegmentConfig(epochs=12, batch_size=6, learning_rate=5e-3, decay=0.98, patience=0)


@pytest.fixture(scope="module")
def outcome(labelled, tmp_path_factory):
    home = tmp_path_factory.mktemp("caches")
    return experiment.run(Setup("unet", UNET, CONFIG), labelled, key="key", caches=home, progress=False)


def test_a_u_net_beats_both_baselines(outcome, labelled):
    found = outcome.metrics()
    for split in ("dev", "gate", "validate"):
        assert found[f"{split}/iou"] > 0.8
        assert found[f"{split}/iou"] > max(found[f"{split}/mean_mask/iou"], found[f"{split}/constant_mask/iou"]) + 0.3
    assert found["validate/iou_pooled"] > 0.8 and found["validate/dice"] > found["validate/iou"]
    assert found["steps"] == 12 * 4 and found["best_steps"] == (outcome.fitted.best_epoch + 1) * 4
    assert "the mean mask" in outcome.summary()


def test_it_has_the_weights_of_its_best_epoch(outcome, labelled):
    rows = splits_of(labelled)["dev"]
    scores = outcome.package.scores(labelled.frames[rows])
    best = overlap.iou(torch.from_numpy(scores), torch.from_numpy(labelled.masks[rows, 0])).mean()
    history = [epoch["dev/iou"] for epoch in outcome.fitted.history]
    assert float(best) == pytest.approx(max(history), abs=1e-6)
    assert history[outcome.fitted.best_epoch] == max(history)


def test_gate_and_dev_share_no_trajectory(labelled):
    rows = splits_of(labelled)
    scenes = {split: {labelled.trajectory[row] for row in own} for split, own in rows.items()}
    assert all(scenes.values()) and not scenes["dev"] & scenes["gate"]
    assert scenes["dev"] | scenes["gate"] == {labelled.trajectory[row] for row in labelled.rows("dev")}


def test_the_rates_fall_from_epoch_to_epoch(outcome):
    rates = [epoch["train/learning_rate"] for epoch in outcome.fitted.history]
    assert rates == pytest.approx([5e-3 * 0.98**epoch for epoch in range(12)])


def test_a_package_gives_the_same_masks(outcome, labelled, tmp_path):
    package.save(outcome.package, tmp_path / "package")
    loaded = package.load(tmp_path / "package")
    assert np.array_equal(loaded.scores(labelled.frames[:3]), outcome.package.scores(labelled.frames[:3]))
    assert (loaded.name, loaded.target, loaded.threshold, loaded.key) == ("unet", ("robot",), 0.5, "key")
    assert loaded.frame == (16, 16) and loaded.encoder is None and loaded.title == "unet"
    assert {path.name for path in (tmp_path / "package").iterdir()} == {"config.json", "model.safetensors"}
    (tmp_path / "package" / "model.safetensors").write_bytes(b"none")
    with pytest.raises(ValueError, match="model.safetensors must hold the weights of config.json"):
        package.load(tmp_path / "package")


def test_a_picture_of_any_size_gets_a_mask_of_its_own(outcome, labelled):
    frame = labelled.frames[30]
    wide = np.zeros((32, 52, 3), np.uint8)
    wide[:, 10:42] = frame.repeat(2, 0).repeat(2, 1)
    plain, own = outcome.package.segment([Image.fromarray(frame), Image.fromarray(wide)])
    assert plain.shape == (16, 16) and own.shape == (32, 52)
    assert not own[:, :10].any() and not own[:, 42:].any()
    halved = own[:, 10:42].reshape(16, 2, 16, 2).mean((1, 3))
    assert ((halved >= 0.5) == (plain >= 0.5)).mean() > 0.97
    assert outcome.package.segment([]) == []


def test_frames_of_another_size_are_refused(outcome):
    with pytest.raises(ValueError, match="^frames must be of 16 x 16 x 3, got 8 x 16 x 3"):
        outcome.package.scores(np.zeros((1, 8, 16, 3), np.uint8))


def loaders(labelled, config):
    rows = splits_of(labelled)
    parts = [experiment.part_of(labelled, rows[split]) for split in ("train", "dev")]
    inputs = [package.frame_pixels(frames).numpy() for frames, _, _ in parts]
    augmentation = Setup("unet", UNET, config).augmentation
    train = MaskLoader(
        inputs[0], parts[0][1], config.batch_size, shuffle=True, augmentation=augmentation, seed=config.seed
    )
    return train, MaskLoader(inputs[1], parts[1][1], 3)


@pytest.mark.parametrize("optimiser", ["adamw", "adam", "sgd"])
def test_a_stopped_training_ends_as_if_it_had_not(labelled, tmp_path, optimiser):
    config = CONFIG.model_copy(update={"epochs": 4, "optimiser": optimiser, "flip": True, "colour": 0.2, "crop": 0.7})
    found = []
    for stops in ([4], [2, 4]):
        for until in stops:
            torch.manual_seed(0)
            model = Segmentation(unet.Model(UNET, (3, 16, 16), (16, 16)))
            short = config.model_copy(update={"epochs": until})
            fit(model, *loaders(labelled, config), short, checkpoints=tmp_path / str(len(stops)), progress=False)
        found.append(model.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_masks_without_a_pixel_are_refused(labelled):
    train = MaskLoader(np.zeros((2, 3, 16, 16), np.float32), np.zeros((2, 16, 16), bool), 2)
    with pytest.raises(ValueError, match="^the masks of train must have pixels"):
        fit(Segmentation(unet.Model(UNET, (3, 16, 16), (16, 16))), train, train, CONFIG, progress=False)


def test_a_data_set_without_a_split_is_refused(labelled, tmp_path):
    without = labelled.take(labelled.rows("train"))
    with pytest.raises(ValueError, match="must have labelled frames in dev, it has none"):
        experiment.run(Setup("unet", UNET, CONFIG), without, key="key", caches=tmp_path, progress=False)


def test_a_segmenter_goes_on_from_another(outcome, labelled, tmp_path):
    config = CONFIG.model_copy(update={"epochs": 1, "learning_rate": 1e-9})
    again = experiment.run(
        Setup("unet", UNET, config), labelled, key="again", caches=tmp_path, start=outcome.package, progress=False
    )
    begun = dict(outcome.package.model.head.named_parameters())  # the norms' statistics are new ones
    for name, weight in again.package.model.head.named_parameters():
        torch.testing.assert_close(weight, begun[name], atol=1e-6, rtol=0)
    other = Setup("unet", unet.Config(widths=(4, 8)), config)
    with pytest.raises(ValueError, match="^start must be a unet of the same sizes"):
        experiment.run(other, labelled, key="other", caches=tmp_path, start=outcome.package, progress=False)


def test_channels_are_standardised():
    model = Segmentation(linear.Model(linear.Config(), (3, 4, 4), (8, 8)))
    read = np.random.default_rng(0).normal(5, 3, (9, 3, 4, 4)).astype(np.float32)
    read[:, 2] = 7.0  # never varies
    model.standardise(*experiment.channel_moments(read))
    heard = []
    model.head.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    model(torch.from_numpy(read))
    moments = heard[0].mean((0, 2, 3)), heard[0].std((0, 2, 3), unbiased=False)
    torch.testing.assert_close(moments, (torch.zeros(3), torch.tensor([1.0, 1.0, 0.0])), atol=1e-4, rtol=1e-4)


def test_only_the_weights_that_lead_to_an_output_are_trained():
    encoder = torch.nn.ModuleDict({"used": torch.nn.Linear(2, 2), "other": torch.nn.Linear(2, 2)})
    assert train_only_what_is_used(encoder, encoder["used"](torch.ones(1, 2))) == ["used.weight", "used.bias"]
    assert [weight.requires_grad for weight in encoder.parameters()] == [True, True, False, False]
    with pytest.raises(ValueError, match="^finetune must be False"):
        train_only_what_is_used(encoder, torch.ones(1))
