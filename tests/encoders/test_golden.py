"""Our encoders against the original VideoGPT with the same weights, every stage of it."""

import pytest
import torch
from torch.nn import functional

NAMES = ["small_full", "small_class", "vq_444"]
MODELS = NAMES[:2]


def close(ours, theirs):
    torch.testing.assert_close(ours.float(), theirs.float(), atol=1e-4, rtol=0)


def given(case, name):
    """A case with the model's codes, what it is conditioned on, and its classes."""
    read = case(name)
    codes = read.gpt_codes.long()
    condition = read.model.conditioning(read.video)
    # The two clips' classes are not among the arrays; only one pair of five gives the recorded logits.
    classes = torch.tensor([0, 1]) if read.model.config.categories else None
    return read, codes, condition, classes


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_vqvae(case, name):
    read = case(name)
    model, codes = read.vqvae, read.codes.long()
    close(model.encoder(read.video), read.encoder_out)
    close(model.latents(read.video), read.z)
    sure = read.code_margin > 1e-3
    assert sure.float().mean() > 0.3
    assert torch.equal(model.encode(read.video)[sure], codes[sure])
    close(model.embed(codes), read.embeddings)
    close(model.decode(codes), read.recon)
    output = model(read.video)
    close(output.reconstruction_loss, read.recon_loss)
    close(output.commitment_loss, read.commitment_loss)
    close(output.perplexity, read.perplexity)


@torch.no_grad()
def test_codebook_update(case):
    # The arrays of the other two cases were made from another codebook than their checkpoint's: their counts are not
    # those of their own codes.
    read = case("vq_444")
    codebook = read.vqvae.codebook.train()
    codebook.counts.zero_()
    codebook.sums.zero_()
    rows, codes = read.z.movedim(1, -1).flatten(0, -2), read.ema_codes.flatten().long()
    codebook.update(rows, codes, torch.bincount(codes, minlength=len(codebook.counts)).float())
    close(codebook.counts, read.ema_N)
    close(codebook.sums, read.ema_z_avg)
    # All counts are below 1, so every code restarts, here and there, as a vector of the batch.
    for embeddings in (codebook.embeddings, read.ema_embeddings, read.restart_embeddings):
        distances = (embeddings[:, None] - rows).abs().amax(-1).amin(1)
        assert distances.max() < 1e-6


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_batch_norm_in_training(case, name):
    read = case(name)
    model = read.vqvae.train()
    model.codebook.eval()  # it does not decide the reconstruction of this batch
    output = model(read.video)
    close(output.reconstruction, read.train_recon)
    close(output.reconstruction_loss, read.train_recon_loss)


@torch.no_grad()
def test_frame_features(case):
    read = case("small_full")
    first = read.video[:, :, 0]
    close(read.model.features(first), read.resnet_features)
    close(read.model.features(first[:, :, None]), read.resnet_features)
    close(read.model.conditioning(read.video), read.resnet_features_pos.flatten(1, 3))


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_transformer(case, name):
    read, codes, condition, classes = given(case, name)
    model = read.model
    inputs = functional.embedding(codes.flatten(1), model.code_table())
    states = list(model.states(codes, condition, classes))
    stages = [inputs, model.transformer.shift(inputs), *states]
    for number, stage in enumerate(stages):
        close(stage, vars(read)[f"h{number}"].flatten(1, 3))
    assert f"h{len(stages)}" not in vars(read)
    close(model.transformer.norm(states[-1], classes), read.hidden.flatten(1, 3))
    logits = model.logits(codes, condition, classes)
    close(logits, read.logits)
    close(functional.cross_entropy(logits.flatten(0, -2), codes.flatten()), read.loss)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_decoding(case, name):
    read, codes, condition, classes = given(case, name)
    decoder = read.model.decoder(len(codes), condition, classes)
    fed = [None, *codes.flatten(1).T[:-1]]
    close(torch.stack([decoder.step(step) for step in fed], dim=1), read.decode_logits)


@pytest.mark.parametrize("name", MODELS)
def test_greedy_sample(case, name):
    read, _, _, classes = given(case, name)
    frames = read.video if read.model.resnet is not None else None
    close(read.model.sample(frames=frames, classes=classes, temperature=0) + 0.5, read.greedy_sample)
