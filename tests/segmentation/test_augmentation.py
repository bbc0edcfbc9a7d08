"""Augmentation: frames and masks move alike, colours change frames only, draws are the epoch's and the frame's."""

import pytest
import torch

from mmvid.segmentation.augmentation import Augmentation, coloured, cut


@pytest.fixture
def labelled():
    """Frames whose red is bright exactly where the mask is, in blocks that survive resizing."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(6, 8, 8, generator=generator) < 0.4
    masks = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)  # (6, 32, 32)
    frames = torch.zeros(6, 3, 32, 32)
    frames[:, 0] = masks.float() - 0.5
    return frames, masks


@pytest.mark.parametrize("options", [{"flip": True}, {"crop": 0.3}, {"flip": True, "crop": 0.5, "colour": 0.3}])
def test_a_mask_stays_with_its_pixels(labelled, options):
    frames, masks = labelled
    changed, moved = Augmentation(**options)(frames, masks, list(range(6)), epoch=3)
    assert changed.shape == frames.shape and moved.shape == masks.shape and moved.dtype == torch.bool
    assert not torch.equal(moved, masks)
    bright = changed[:, 0] > (changed.amax((1, 2, 3)) + changed.amin((1, 2, 3))).view(-1, 1, 1) / 2
    if not options.get("colour"):
        assert (bright != moved).float().mean() < 0.01
    inside = torch.stack(
        [frame[0][mask].mean() - frame[0][~mask].mean() for frame, mask in zip(changed, moved, strict=True)]
    )
    assert (inside > 0.3).all()


def test_a_mask_of_another_size_is_cut_at_the_same_place(labelled):
    frames, masks = labelled
    large = masks.repeat_interleave(2, 1).repeat_interleave(2, 2)
    change = Augmentation(flip=True, crop=0.4)
    _, small = change(frames, masks, list(range(6)), epoch=0)
    _, other = change(frames, large, list(range(6)), epoch=0)
    near = torch.nn.functional.avg_pool2d(other[:, None].float(), 2)[:, 0]
    assert ((near >= 0.5) != small).float().mean() < 0.05  # only edges differ


def test_draws_depend_on_the_epoch_and_the_frame_alone(labelled):
    frames, masks = labelled
    change = Augmentation(flip=True, colour=0.2, crop=0.5, seed=4)
    whole = change(frames, masks, list(range(6)), epoch=2)
    part = change(frames[3:5], masks[3:5], [3, 4], epoch=2)
    assert torch.equal(whole[0][3:5], part[0]) and torch.equal(whole[1][3:5], part[1])
    assert not torch.equal(change(frames, masks, list(range(6)), epoch=3)[0], whole[0])


def test_a_mirror_and_a_window_are_exact():
    frames = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).view(2, 3, 4, 4) / 96 - 0.5
    masks = frames[:, 0] > -0.3
    whole, left = torch.ones(2), torch.zeros(2, 2)
    mirrored, moved = cut(frames, masks, whole, left, torch.tensor([True, False]))
    torch.testing.assert_close(mirrored, torch.stack([frames[0].flip(-1), frames[1]]))
    assert torch.equal(moved, torch.stack([masks[0].flip(-1), masks[1]]))
    quarter, _ = cut(frames, masks, whole / 2, torch.ones(2, 2), torch.tensor([False, False]))
    torch.testing.assert_close(quarter.mean((2, 3)), frames[..., 2:, 2:].mean((2, 3)), atol=0.02, rtol=0)


def test_colours_are_multiplied_about_their_means():
    frames = torch.rand(2, 3, 8, 8) * 0.5 - 0.25
    same = torch.ones(2)
    torch.testing.assert_close(coloured(frames, same, same, same), frames)
    darker = coloured(frames, torch.tensor([0.5, 1.0]), same, same)
    torch.testing.assert_close(darker[0], (frames[0] + 0.5) * 0.5 - 0.5)
    grey = coloured(frames, same, same, torch.zeros(2))
    assert (grey.std(1) < 1e-6).all()


def test_nothing_is_done_unless_it_is_asked_for(labelled):
    frames, masks = labelled
    assert not Augmentation().changes
    assert Augmentation()(frames, masks, list(range(6)), 0)[0] is frames
