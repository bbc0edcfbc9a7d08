"""Which split a video belongs to.

    train     weights
    dev       early stopping, search
    gate      promotion, blends, thresholds, calibration
    validate  is reported and decides nothing
    test      has no labels

A source has train, dev, validate and test, or videos of no split, of which a share is validate and the rest train. Its
dev is halved into dev and gate; a source without dev gives a
share of its train for both. Every choice is a hash of the id, so it depends on no order and no other video.
"""

import hashlib

SPLITS = ("train", "dev", "gate", "validate", "test")
PAPER_DEV_SHARE = 0.204  # Wang et al. 2017 hold out 1.000 of the 4.905 million training videos

VALIDATE_SHARE = 0.2  # of videos that have no split; of YouTube-8M's labelled videos 0.22 are validate
UNDIVIDED = "all"  # the source split of videos that have none


def hash64(id: str, salt: str = "") -> int:
    """A 64-bit hash of an id that is the same on every machine; other salts give independent hashes."""
    return int.from_bytes(hashlib.blake2b(f"{salt}\0{id}".encode(), digest_size=8).digest(), "little")


def split_of(id: str, source: str, *, has_dev: bool, seed: int, share: float) -> str:
    """The split of a video.

    Args:
        id: the video's id.
        source: the split that its source has it in: train, dev, validate, test, or `all` for none.
        has_dev: whether the source has a dev; if not, a share of train becomes dev and gate.
        seed: which videos of train that share takes, and which of those without a split are validate. What halves it
            into dev and gate has no seed.
        share: the share, in (0, 1).
    """
    if source == UNDIVIDED:
        source = "validate" if _fraction(id, f"validate {seed}") < VALIDATE_SHARE else "train"
    if source == "train" and not has_dev and _fraction(id, f"dev {seed}") < share:
        source = "dev"
    if source == "dev":
        return "gate" if _fraction(id, "gate") < 0.5 else "dev"
    return source


def _fraction(id: str, salt: str) -> float:
    return hash64(id, salt) / 2**64
