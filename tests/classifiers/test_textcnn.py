"""TextCNN against a plain loop over padded convolutions."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from mmvid.classifiers import textcnn
from mmvid.layers.normalisation import BatchNorm
from mmvid.records.batches import Batch, Shapes

SHAPES = Shapes(classes=11, words=50, word_size=6)


def make(**options) -> textcnn.Model:
    torch.manual_seed(0)
    small = {"filters": 5, "hidden": 13, "dropout": 0.0, "max_words": 12} | options
    model = textcnn.Model(textcnn.Config(**small), SHAPES)
    model.prepare(torch.randn(SHAPES.words, SHAPES.word_size).numpy(), None)
    for norm in (*model.convolutions.norms, model.norm):  # as if trained: negative scales, too
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            nn.init.normal_(tensor)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    return model.eval()


def make_batch() -> Batch:
    """Titles of 9, 1, 4 and no words, keywords of 2, 0, 3 and no words."""
    batch = Batch(ids=list("abcd"))
    for field, lengths in (("title", (9, 1, 4, 0)), ("keywords", (2, 0, 3, 0))):
        valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        batch.tokens[field] = torch.randint(1, SHAPES.words + 1, valid.shape) * valid
        batch.token_lengths[field] = torch.tensor(lengths)
    return batch


def plain(model: textcnn.Model, words: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """The largest responses by torch's convolutions over padded texts; `lengths` masks what is beyond."""
    found = []
    x = model.vectors[words].transpose(1, 2)
    for width, kernel, norm in zip(
        model.config.widths, model.convolutions.kernels, model.convolutions.norms, strict=True
    ):
        weight = kernel.weight.unflatten(1, (width, SHAPES.word_size)).transpose(1, 2)
        y = functional.conv1d(functional.pad(x, ((width - 1) // 2, width // 2)), weight, kernel.bias)
        y = functional.relu(
            functional.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-3)
        )
        if lengths is not None:
            y = y * (torch.arange(words.shape[1]) < lengths[:, None])[:, None]
        found.append(y.amax(dim=2))
    return torch.cat(found, dim=1)


def test_responses_are_those_of_plain_convolutions():
    model, batch = make(), make_batch()
    words = batch.tokens["title"]
    responses = model.convolutions(model.vectors, [words])
    torch.testing.assert_close(responses, plain(model, words, batch.token_lengths["title"]), rtol=1e-4, atol=1e-5)


def test_the_originals_padding_counts():
    model, batch = make(mask_padding=False), make_batch()
    words = functional.pad(batch.tokens["title"], (0, 3))  # to 12, `max_words`
    expected = functional.relu(model.norm(model.inner(plain(model, words, None))))
    torch.testing.assert_close(model.hidden(batch), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model.hidden(batch), make().hidden(batch))


def test_two_fields_are_read_by_the_same_filters():
    model, batch = make(text_fields=("title", "keywords")), make_batch()
    parts = [plain(model, batch.tokens[field], batch.token_lengths[field]) for field in ("title", "keywords")]
    responses = model.convolutions(model.vectors, list(batch.tokens.values()))
    torch.testing.assert_close(responses, torch.maximum(*parts), rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_plain_convolutions():
    model, batch = make(), make_batch()
    words, lengths = batch.tokens["title"], batch.token_lengths["title"]
    weights = torch.randn(len(words), 5 * 8)
    kernels = [kernel.weight for kernel in model.convolutions.kernels]
    ours = torch.autograd.grad((model.convolutions(model.vectors, [words]) * weights).sum(), kernels)
    theirs = torch.autograd.grad((plain(model, words, lengths) * weights).sum(), kernels)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_words_beyond_the_longest_text_are_not_read():
    model, batch = make(max_words=4), make_batch()
    cut = make_batch()
    cut.tokens = {field: words[:, :4] for field, words in batch.tokens.items()}
    torch.testing.assert_close(model(batch), model(cut))


def test_the_penalty_is_that_of_a_loss_averaged_over_classes():
    model = make(l2_penalty=0.5)
    weights = [value for name, value in model.named_parameters() if name.endswith("weight") and "norm" not in name]
    assert len(weights) == 10
    expected = 0.5 * SHAPES.classes * 0.5 * sum(weight.square().sum() for weight in weights)
    torch.testing.assert_close(model.penalty(), expected)


def test_the_papers_sizes_have_the_papers_parameters():
    with torch.device("meta"):
        model = textcnn.Model(textcnn.Config(), Shapes(classes=4716, words=10, word_size=300))
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(41.7e6, rel=0.005)


def test_bf16_is_near():
    model, batch = make(), make_batch()
    with torch.autocast("cpu", torch.bfloat16):
        near = model.hidden(batch).float()
    torch.testing.assert_close(near, model.hidden(batch), rtol=0.1, atol=0.1)


def test_bad_widths_are_told():
    with pytest.raises(ValueError, match="^widths must be distinct and at least 1, got 1,1"):
        make(widths=(1, 1))


def test_running_statistics_begin_as_averages():
    norm, usual = BatchNorm(3, momentum=0.25), nn.BatchNorm1d(3, momentum=0.25)
    batches = [torch.randn(5, 3) + i for i in range(30)]
    for x in batches[:3]:
        norm(x)
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(0) for x in batches[:3]]).mean(0))
    for x in batches[3:]:
        torch.testing.assert_close(norm(x), usual(x))
    for x in batches[:3]:
        usual(x), norm(x)
    torch.testing.assert_close(norm(torch.ones(1, 3)), norm.eval()(torch.ones(1, 3)))  # one row has no variance
