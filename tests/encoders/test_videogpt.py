"""VideoGPT beyond the recorded cases: sparse attention, decoding a code at a time, sampling, the exact 2-D network."""

import itertools

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from benchmarks import plain_videogpt
from mmvid.encoders import videogpt, vqvae
from mmvid.layers.attention import causal_attention
from mmvid.layers.frame_resnet import FrameResnet
from mmvid.layers.sparse_attention import SparseLayout
from mmvid.layers.transformer import Norm

GRIDS = [(4, 32, 32), (2, 8, 8), (4, 16, 16), (4, 4, 4), (2, 4, 64), (8, 8, 16)]


def make(
    frames: int = 1,
    categories: int = 0,
    attention: str = "full",
    seed: int = 0,
    side: int = 16,
    length: int = 8,
    **more,
):
    """A small model in evaluation mode whose logits are spread as a trained one's."""
    torch.manual_seed(seed)
    sizes = {"sequence_length": length, "resolution": side, "codes": 32, "code_size": 12, "hidden": 8}
    options = {"width": 24, "layers": 2, "resnet_width": 4, "resnet_size": 24, "attention": attention} | more
    source = vqvae.Model(vqvae.Config(**sizes, residual_layers=1))
    model = videogpt.Model(videogpt.Config(conditioned_frames=frames, categories=categories, **options), source)
    gain = 1 + categories**-0.5 if categories else 1  # of the last norm
    torch.nn.init.normal_(model.output.weight, std=0.5 / gain)
    return model.eval()


def test_parameters_of_the_configuration_for_bair():
    with torch.device("meta"):
        model = videogpt.Model(videogpt.Config(), vqvae.Model(vqvae.Config()))
    own = {key: value for key, value in model.named_parameters() if not key.startswith("vqvae.")}
    assert sum(value.numel() for value in own.values()) == 72_471_920
    assert sum(value.numel() for key, value in own.items() if key.startswith("resnet.")) == 33_890_144
    assert sum(value.numel() for key, value in own.items() if key.startswith("transformer.blocks")) == 37_250_880 - (
        576 + 192 * 68  # what the original counts to the stack: the start and the positions
    )


def plain_layout(grid: tuple[int, int, int]) -> torch.Tensor:
    """The sparse mask of a grid whose rows are of 32 codes, token by token from the description."""
    time, rows, columns = grid
    assert columns == 32
    places = list(itertools.product(range(time), range(rows)))
    blocks = torch.zeros(len(places), len(places), dtype=torch.bool)
    for (i, (t, row)), (j, (s, other)) in itertools.product(enumerate(places), enumerate(places)):
        blocks[i, j] = i - 4 <= j <= i or (row == other and s <= t)
    tokens = torch.arange(time * rows * columns)
    return blocks[tokens[:, None] // 32, tokens // 32] & (tokens[:, None] >= tokens)


def test_the_sparse_layout_for_bair():
    mask = SparseLayout((4, 32, 32)).dense()
    assert torch.equal(mask, plain_layout((4, 32, 32)))
    assert mask.sum().item() / (4096 * 4097 / 2) == pytest.approx(0.093, abs=5e-4)


def test_a_grid_of_one_axis_of_blocks_sees_its_neighbours_only():
    assert SparseLayout((4, 4, 4)).seen == [[0], [0, 1]]
    assert SparseLayout((4, 16, 16)).seen[17] == [1, 9, 13, 14, 15, 16, 17]


@pytest.mark.parametrize("grid", GRIDS)
def test_sparse_attention_is_dense_attention_under_its_mask(grid):
    torch.manual_seed(0)
    layout, tokens = SparseLayout(grid), grid[0] * grid[1] * grid[2]
    queries, keys, values = torch.randn(3, 2, 2, tokens, 6, requires_grad=True).unbind()
    ours = layout.attend(queries, keys, values)
    theirs = functional.scaled_dot_product_attention(queries, keys, values, layout.dense())
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=0)
    assert not ours.isnan().any()


def test_a_grid_that_blocks_do_not_fill_is_refused():
    with pytest.raises(ValueError, match="^sparse attention needs .* got 2x2x2"):
        SparseLayout((2, 2, 2))


@pytest.mark.parametrize("attention", ["full", "sparse"])
@pytest.mark.parametrize(
    "frames, categories, aligned",
    [(1, 0, False), (3, 0, False), (0, 5, False), (2, 5, False), (0, 0, False), (1, 0, True), (3, 5, True)],
)
@torch.no_grad()
def test_decoding_agrees_with_the_whole_forward_pass(attention, frames, categories, aligned):
    model = make(frames, categories, attention, side=32, aligned_condition=aligned)
    codes = torch.randint(32, (2, *model.grid))
    condition = model.conditioning(torch.rand(2, 3, 8, 32, 32) - 0.5)
    classes = torch.tensor([1, 4]) if categories else None
    decoder = model.decoder(2, condition, classes)
    stepped = torch.stack([decoder.step(before) for before in [None, *codes.flatten(1).T[:-1]]], dim=1)
    whole = model.logits(codes, condition, classes).flatten(1, 3)
    assert whole.std() > 1
    torch.testing.assert_close(stepped, whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_an_aligned_condition_adds_the_features_of_a_codes_own_place():
    model = make(2, side=32, aligned_condition=True)  # features of 2 frames, 8 x 8; codes 2 x 16 x 16
    condition = model.conditioning(torch.rand(3, 3, 8, 32, 32) - 0.5)
    added = (model.places(condition) - model.transformer.position()).view(3, 2, 16, 16, -1)
    last = condition.view(3, 2, 8, 8, -1)[:, 1]
    for time, row, column in [(0, 0, 0), (1, 5, 2)]:
        torch.testing.assert_close(added[:, time, row, column], model.aligned(last[:, row // 2, column // 2]))
    assert make(1, side=32).places(None).shape == (512, 24)


@torch.no_grad()
def test_bfloat16_caches_change_logits_little():
    model = make()
    codes, condition = torch.randint(32, (2, *model.grid)), model.conditioning(torch.rand(2, 3, 16, 16) - 0.5)
    fed = [None, *codes.flatten(1).T[:-1]]
    exact, rounded = (
        torch.stack([decoder.step(before) for before in fed])
        for decoder in (model.decoder(2, condition, None), model.decoder(2, condition, None, torch.bfloat16))
    )
    assert 0 < (exact - rounded).abs().max() < 0.1


@pytest.mark.parametrize("attention", ["full", "sparse"])
@torch.no_grad()
def test_the_plain_algorithm_gives_the_same_logits(attention):
    model = make(attention=attention)
    codes, condition = torch.randint(32, (2, *model.grid)), model.conditioning(torch.rand(2, 3, 16, 16) - 0.5)
    ours = model.logits(codes, condition)
    torch.testing.assert_close(ours, plain_videogpt.logits(model, codes, condition), atol=1e-5, rtol=0)
    sampler = plain_videogpt.Sampler(model, 2, condition)
    stepped = torch.stack([sampler.step(before) for before in [None, *codes.flatten(1).T[:-1]]], dim=1)
    torch.testing.assert_close(stepped, ours.flatten(1, 3), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_code_depends_on_those_before_it_only():
    for attention in ("full", "sparse"):
        model = make(frames=0, attention=attention)
        codes = torch.randint(32, (1, *model.grid))
        changed = codes.clone().flatten()
        changed[70] = (changed[70] + 1) % 32
        difference = (model.logits(codes) - model.logits(changed.view_as(codes))).abs().flatten(0, -2).amax(1)
        assert difference[:71].max() == 0 and difference[71] > 0


@torch.no_grad()
def test_one_frame_goes_through_the_middle_slices_exactly():
    torch.manual_seed(0)
    network = FrameResnet(8, 24)
    frames = torch.rand(2, 3, 1, 32, 32) - 0.5
    flat, plain = network(frames), plain_videogpt.resnet(network)(frames)
    assert flat.shape == (2, 1, 8, 8, 24)
    torch.testing.assert_close(flat, plain, atol=2e-5, rtol=0)
    several = torch.rand(2, 3, 3, 32, 32) - 0.5
    torch.testing.assert_close(network(several), plain_videogpt.resnet(network)(several), atol=2e-5, rtol=0)


@pytest.mark.parametrize("width", [4, 8, 16])
def test_gradients_of_one_frame_are_those_of_the_plain_network(width):
    """With few channels a strided 1x1 convolution corrupted memory in the backward pass of torch 2.13."""
    torch.manual_seed(0)
    network = FrameResnet(width, 12)
    frames = torch.rand(2, 3, 1, 64, 64) - 0.5
    plain = plain_videogpt.resnet(network)
    weights = list(network.parameters())
    direction = torch.randn(2, 1, 16, 16, 12)
    for _ in range(2):
        found = torch.autograd.grad((network(frames) * direction).sum(), weights)
    wanted = torch.autograd.grad((plain(frames) * direction).sum(), list(plain.parameters()))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-3)


def test_outer_slices_learn_nothing_from_one_frame():
    network = FrameResnet(4, 12)
    network(torch.rand(1, 3, 1, 16, 16) - 0.5).square().sum().backward()
    gradient = network.groups[1][0].conv1.weight.grad
    assert gradient[:, :, 1].abs().sum() > 0 and gradient[:, :, [0, 2]].abs().sum() == 0


def test_the_norm_adds_its_constant_outside_the_root():
    x = torch.randn(2, 3, 8) * 1e-2
    deviation = x - x.mean(-1, keepdim=True)
    want = deviation * (1e-5 + 1 / deviation.square().mean(-1, keepdim=True).sqrt())
    torch.testing.assert_close(Norm(8)(x), want)
    conditional, classes = Norm(8, 3), torch.tensor([2, 0])
    onehot = functional.one_hot(classes, 3).float()[:, None]
    gain, shift = 1 + conditional.gain(onehot), conditional.shift(onehot)
    torch.testing.assert_close(conditional(x, classes), want * gain + shift)


def test_the_norms_of_all_classes_begin_with_one_gain():
    norm = Norm(8, 4)
    assert torch.equal(norm.gain.weight, torch.full((8, 4), 0.5)) and norm.shift.weight.abs().max() <= 0.5


def test_sampling_is_seeded_reports_and_keeps_to_the_likeliest():
    model, frame = make(), torch.rand(1, 3, 16, 16) - 0.5
    seen = []

    def draw(seed: int, **options):
        return model.sample_codes(3, frame, generator=torch.Generator().manual_seed(seed), **options)

    first = draw(1, progress=lambda done, total: seen.append((done, total)))
    assert first.shape == (3, *model.grid) and seen == [(done, 128) for done in range(1, 129)]
    assert torch.equal(first, draw(1)) and not torch.equal(first, draw(2))
    greedy = draw(1, temperature=0)
    assert torch.equal(greedy[0], greedy[1]) and torch.equal(greedy, draw(5, top_k=1))
    assert torch.equal(greedy, draw(3, temperature=1e-4))
    condition = model.conditioning(frame).expand(3, -1, -1)
    chosen = draw(4, top_k=4)
    ranks = model.logits(chosen, condition).argsort(-1, descending=True).argsort(-1)
    assert ranks.gather(-1, chosen[..., None]).max() < 4
    clips = model.sample(3, frame, generator=torch.Generator().manual_seed(1))
    assert torch.equal(clips, model.vqvae.decode(first).clamp(-0.5, 0.5))


def test_what_a_model_is_conditioned_on_must_be_given():
    frames, classes = torch.rand(2, 3, 16, 16) - 0.5, torch.tensor([0, 1])
    with pytest.raises(ValueError, match="^this model needs frames"):
        make(1).sample(2)
    with pytest.raises(ValueError, match="^this model is not conditioned on frames"):
        make(0).sample(frames=frames)
    with pytest.raises(ValueError, match="^this model needs a class for each of 1 clips, got none"):
        make(0, 5).sample()
    with pytest.raises(ValueError, match="^classes must be from 0 to 4"):
        make(0, 5).sample(classes=torch.tensor([5]))
    with pytest.raises(ValueError, match="^frames must be 1 or 3, .* got 2"):
        make(1).sample(3, frames)
    with pytest.raises(ValueError, match="^conditioning needs 3x2x16x16 .* got 3x1x16x16"):
        make(2).sample(frames=frames)
    with pytest.raises(ValueError, match="^sampling needs the model in evaluation mode"):
        make(1).train().sample(frames=frames)
    assert make(0, 5).sample(classes=classes, top_k=3).shape == (2, 3, 8, 16, 16)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"width": 100}, "width must be a multiple of heads .4. and of 3, got 100"),
        ({"resnet_size": 100}, "resnet_size must be a multiple"),
        ({"attention": "axial"}, "full"),
        ({"aligned_condition": True, "conditioned_frames": 0}, "aligned_condition needs conditioned_frames of 1"),
    ],
)
def test_options_that_do_not_fit(options, sentence):
    with pytest.raises(ValidationError, match=sentence):
        videogpt.Config(**options)


def test_recomputing_activations_changes_no_gradient():
    gradients = []
    for recompute in (False, True):
        model = make()
        model.config = model.config.model_copy(update={"recompute": recompute})
        codes, condition = torch.arange(256).view(2, *model.grid) % 32, None
        condition = model.conditioning(torch.linspace(-0.5, 0.5, 2 * 3 * 16 * 16).view(2, 3, 16, 16))
        functional.cross_entropy(model.logits(codes, condition).flatten(0, -2), codes.flatten()).backward()
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@torch.no_grad()
def test_causal_attention_in_bfloat16_is_that_in_float32_rounded():
    torch.manual_seed(0)
    queries, keys, values = torch.randn(3, 2, 4, 1100, 6).unbind()
    exact = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    rounded = causal_attention(queries.bfloat16(), keys.bfloat16(), values.bfloat16())
    assert (rounded.float() - exact).abs().max() < 0.05


def test_the_norm_is_the_same_with_and_without_gradients():
    x, norm = torch.randn(3, 5, 24) * 1e-3, Norm(24)
    with torch.no_grad():
        quick = norm(x)
    torch.testing.assert_close(quick, norm(x).detach(), atol=1e-6, rtol=1e-5)
