"""Mixtures of two videos against loops over videos and frames; losses of mixtures; training with them."""

import pytest
import torch

from mmvid import classifiers
from mmvid.layers import losses
from mmvid.mixup import mix
from mmvid.records.batches import Batch, Shapes
from mmvid.training import Classifying, TrainConfig, classification_loss

LENGTHS = [2, 5, 1, 4]


def make_batch(weighted: bool = False) -> Batch:
    torch.manual_seed(0)
    valid = (torch.arange(5) < torch.tensor(LENGTHS)[:, None]).unsqueeze(-1)
    return Batch(
        ids=list("abcd"),
        features={"audio": torch.randn(4, 3)},
        frames={"audio": torch.randn(4, 5, 3) * valid},
        num_frames=torch.tensor(LENGTHS),
        presence={"title": torch.tensor([True, False, False, False])},
        labels=torch.rand(4, 6) < 0.5,
        weights=(torch.rand(4, 6) < 0.5).float() if weighted else None,
    )


def drawn(batch: Batch, seed: int = 1) -> tuple[Batch, list[float], list[int]]:
    """The mixed batch, and the own share and the partner of each video, drawn as documented."""
    torch.manual_seed(seed)
    shares = torch.distributions.Beta(0.4, 0.4).sample((len(batch),)).tolist()
    partners = torch.randperm(len(batch)).tolist()
    torch.manual_seed(seed)
    return mix(batch, 0.4), [max(share, 1 - share) for share in shares], partners


def test_features_labels_and_presence_are_mixed_by_one_share():
    batch = make_batch()
    mixed, shares, partners = drawn(batch)
    assert any(partner != video for video, partner in enumerate(partners))
    for video, (share, partner) in enumerate(zip(shares, partners, strict=True)):
        for before, after in ((batch.features["audio"], mixed.features["audio"]), (batch.labels, mixed.labels)):
            expected = share * before[video].float() + (1 - share) * before[partner].float()
            torch.testing.assert_close(after[video], expected)
        assert mixed.presence["title"][video] == (video == 0 or partner == 0)


def test_every_valid_frame_is_a_mixture_of_two_real_ones_and_padding_stays_zero():
    batch = make_batch()
    mixed, shares, partners = drawn(batch)
    assert mixed.num_frames.tolist() == LENGTHS
    for video, (share, partner) in enumerate(zip(shares, partners, strict=True)):
        for t in range(5):
            got = mixed.frames["audio"][video, t]
            if t >= LENGTHS[video]:
                assert not got.any()
                continue
            other = batch.frames["audio"][partner, t % LENGTHS[partner]]
            torch.testing.assert_close(got, share * batch.frames["audio"][video, t] + (1 - share) * other)


def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses_of_rated_classes_too():
    batch = make_batch(weighted=True)
    mixed, shares, partners = drawn(batch)
    odds, expected = torch.randn(4, 6), 0.0
    for video, (share, partner) in enumerate(zip(shares, partners, strict=True)):
        for part, weight in ((video, share), (partner, 1 - share)):
            one = slice(part, part + 1)
            expected += (
                weight * losses.cross_entropy(odds[video : video + 1], batch.labels[one], batch.weights[one]) / 4
            )
    torch.testing.assert_close(losses.cross_entropy(odds, mixed.labels, mixed.weights), expected)


@pytest.mark.parametrize("loss", [losses.cross_entropy_epsilon, losses.hinge])
def test_a_soft_label_is_the_mean_of_both_hard_ones(loss):
    torch.manual_seed(0)
    scores, hard = torch.rand(3, 4), torch.rand(3, 4) < 0.5
    torch.testing.assert_close(loss(scores, hard.float()), loss(scores, hard))
    both = (loss(scores, torch.ones(3, 4)) + loss(scores, torch.zeros(3, 4))) / 2
    torch.testing.assert_close(loss(scores, torch.full((3, 4), 0.5)), both)


@pytest.mark.parametrize("name", [n for n in classifiers.names() if not classifiers.load(n).Model.reads_text])
def test_every_classifier_trains_on_mixtures_and_the_seed_decides_them(name):
    member = classifiers.load(name)
    if "fitted_by_counts" in member.Model.traits or name in ("keywords", "textcnn"):
        return
    shapes = Shapes(classes=6, features={"audio": 3}, frames={"audio": 3})
    small = {"groups": 2} if name == "nextvlad" else {}
    found = []
    for mixup in (0.4, 0.4, 0.0):
        torch.manual_seed(0)
        learner = Classifying(member.Model(member.Config(**small), shapes), TrainConfig(mixup=mixup)).train()
        torch.manual_seed(1)
        loss = learner.loss(make_batch())
        loss.backward()
        found.append(loss.item())
    assert found[0] == found[1] != found[2]


def test_words_cannot_be_mixed():
    torch.manual_seed(0)
    member = classifiers.load("textcnn")
    model = member.Model(member.Config(), Shapes(classes=6, words=5, word_size=4))
    with pytest.raises(ValueError, match=r"^mixup must be 0 for a model that reads words, .*, got 0.4$"):
        Classifying(model, TrainConfig(mixup=0.4))


def test_batches_without_labels_are_refused_as_ever():
    batch = make_batch()
    batch.labels = None
    model = classifiers.load("logistic").Model(
        classifiers.load("logistic").Config(), Shapes(classes=6, features={"audio": 3})
    )
    with pytest.raises(ValueError, match="^a batch without labels cannot be trained on$"):
        Classifying(model, TrainConfig(mixup=0.4)).loss(batch)
    assert classification_loss(model, make_batch(), "cross_entropy") > 0
