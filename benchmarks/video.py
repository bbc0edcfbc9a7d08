"""How fast VideoGPT runs in its configuration for BAIR, beside the published algorithm written plainly.

    python -m benchmarks.video [--repeats 3] [--only forward sampling sparse features encoding]

One thread on a CPU, random weights (the numbers of operations do not depend on them). Both sides take turns in one
process and CPU seconds are shown, the least of the turns, so that other work on the machine disturbs little. Beside
them stands the largest difference of the two results, or what it means for codes.

    forward   logits of 4096 codes from a clip's codes, batch 1, float32 and bfloat16
    sampling  one step at batch 8, when no code is there yet, in the middle and at the end
    sparse    both with sparse attention, at the first step of a block, its slowest; plain masks the whole matrix
    features  the frame ResNet's output, batch 1 and 8
    encoding  a clip to codes by the VQ-VAE, float32 and bfloat16
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks import plain_videogpt
from mmvid.encoders import videogpt, vqvae
from mmvid.layers.decoding import Decoder
from mmvid.layers.sparse_attention import BLOCK, SparseLayout

BATCH = 8


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="turns of which the fastest counts (default 3)")
    parser.add_argument("--only", nargs="+", choices=list(MEASURES), default=list(MEASURES), help="what to measure")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    model = make()
    print(f"{'':<42}{'plain':>10}{'ours':>10}{'times':>8}   difference", flush=True)
    for name in options.only:
        with torch.no_grad():
            for row in MEASURES[name](model, options.repeats):
                print(row, flush=True)


def make() -> videogpt.Model:
    """The configuration for BAIR with random weights; logits are spread as those of a trained model are."""
    torch.manual_seed(0)
    model = videogpt.Model(videogpt.Config(), vqvae.Model(vqvae.Config())).eval()
    nn.init.normal_(model.output.weight, std=0.05)
    return model


def forward(model: videogpt.Model, repeats: int, kind: str = "") -> Iterator[str]:
    codes = torch.randint(model.vqvae.config.codes, (1, *model.grid))
    condition = model.conditioning(frames(1))

    def half() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return model.logits(codes, condition)

    seconds, results = turns(
        {
            "plain": lambda: plain_videogpt.logits(model, codes, condition),
            "ours": lambda: model.logits(codes, condition),
            "half": half,
        },
        repeats,
    )
    for name, what in (("ours", f"{kind}forward, float32"), ("half", f"{kind}forward, bfloat16")):
        change = (results[name].float() - results["plain"]).abs().max().item()
        yield row(what, seconds["plain"], seconds[name], f"{change:.1e} of logits within {spread(results['plain'])}")


def sampling(model: videogpt.Model, repeats: int, kind: str = "") -> Iterator[str]:
    condition = model.conditioning(frames(BATCH))
    tokens = len(model.transformer.position())
    plain = plain_videogpt.Sampler(model, BATCH, condition)
    decoders = {cache: model.decoder(BATCH, condition, None, cache) for cache in (torch.float32, torch.bfloat16)}
    fill(plain, *decoders.values())
    codes = torch.randint(model.vqvae.config.codes, (BATCH,))
    for place in (0, tokens // 2, tokens - 1 if model.layout is None else tokens - BLOCK):

        def at(stepper, place=place) -> Callable[[], Tensor]:
            def step() -> Tensor:
                stepper.done = place
                return stepper.step(codes if place else None)

            return step

        works = {"plain": at(plain)} | {cache: at(decoder) for cache, decoder in decoders.items()}
        seconds, results = turns(works, 3 * repeats)
        for cache in decoders:
            change = (results[cache] - results["plain"]).abs().max().item()
            what = f"{kind}sampling step {place}, {str(cache).removeprefix('torch.')} caches"
            yield row(
                what, seconds["plain"], seconds[cache], f"{change:.1e} of logits within {spread(results['plain'])}"
            )


def sparse(model: videogpt.Model, repeats: int) -> Iterator[str]:
    twin = copy.copy(model)  # the same weights
    twin.layout = SparseLayout(model.grid)
    for measure in (forward, sampling):
        yield from measure(twin, repeats, "sparse ")


def features(model: videogpt.Model, repeats: int) -> Iterator[str]:
    plain = plain_videogpt.resnet(model.resnet)
    for batch in (1, BATCH):
        x = frames(batch)
        works = {"plain": lambda x=x: plain(x[:, :, None]), "ours": lambda x=x: model.features(x)}
        seconds, results = turns(works, 2 * repeats)
        change = (results["ours"] - results["plain"]).abs().max().item()
        yield row(f"frame features, batch {batch}", seconds["plain"], seconds["ours"], f"{change:.1e}")


def encoding(model: videogpt.Model, repeats: int) -> Iterator[str]:
    source, clips = model.vqvae, clip()
    draw_codebook(source)
    works = {"plain": lambda: source.encode(clips), "half": lambda: source.encode(clips, torch.bfloat16)}
    seconds, results = turns(works, repeats)
    changed = (results["plain"] != results["half"]).float().mean().item()
    yield row("encoding, float32 and bfloat16", seconds["plain"], seconds["half"], f"{changed:.1%} of codes change")


def turns(works: dict, repeats: int) -> tuple[dict, dict]:
    """CPU seconds of each work, the least of some turns after one that warms up, and its result."""
    seconds, results = {name: float("inf") for name in works}, {}
    for turn in range(repeats + 1):
        for name, work in works.items():
            begin = time.process_time()
            results[name] = work()
            if turn:
                seconds[name] = min(seconds[name], time.process_time() - begin)
    return seconds, results


def row(what: str, plain: float, ours: float, difference: str) -> str:
    shown = "".join(f"{f'{value:.2f} s' if value >= 1 else f'{1000 * value:.0f} ms':>10}" for value in (plain, ours))
    return f"{what:<42}{shown}{plain / ours:>8.1f}   {difference}"


def spread(logits: Tensor) -> str:
    return f"{logits.min().item():.0f} and {logits.max().item():.0f}"


def frames(batch: int) -> Tensor:
    return torch.rand(batch, 3, 64, 64) - 0.5


def fill(plain: plain_videogpt.Sampler, *decoders: Decoder) -> None:
    """Puts the same random keys and values into all caches."""
    for number, (keys, values) in enumerate(plain.caches):
        keys.normal_(), values.normal_()
        for decoder in decoders:
            cache = decoder.steps[number].cache
            cache.keys.copy_(keys.flatten(0, 1).transpose(1, 2))
            cache.values.copy_(values.flatten(0, 1).transpose(1, 2))


def draw_codebook(source: vqvae.Model) -> None:
    """Makes the codebook of random weights one that their latents use: latents of a random clip."""
    latents = source.latents(clip())
    source.codebook.initialise(latents.movedim(1, -1).flatten(0, -2))


def clip() -> Tensor:
    return torch.rand(1, 3, 16, 64, 64) - 0.5


MEASURES: dict[str, Callable[[videogpt.Model, int], Iterator[str]]] = {
    "forward": forward,
    "sampling": sampling,
    "sparse": sparse,
    "features": features,
    "encoding": encoding,
}


if __name__ == "__main__":
    main(sys.argv[1:])
