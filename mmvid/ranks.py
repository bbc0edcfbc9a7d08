"""Which of a split's items each of several processes takes, in batches of which all have the same number."""


def equal_length(count: int, batch_size: int, world_size: int, items: str) -> int:
    """The batches of every rank, where rank r takes every `world_size`-th item from the r-th on.

    Args:
        count: the items of all ranks together.
        batch_size: items in a batch; the last ones may be smaller.
        world_size: how many ranks there are.
        items: what they are called in an error.

    Raises:
        ValueError: if so few items cannot be given to so many ranks, none twice and none left out.
    """
    most, least = -(-count // world_size), count // world_size
    length = -(-most // batch_size)
    if least < length:
        raise ValueError(
            f"{count} {items} cannot be given to {world_size} ranks in equally many batches of {batch_size}; "
            "take a larger batch_size or fewer ranks"
        )
    return length


def batch_ends(own: int, length: int, batch_size: int) -> list[int]:
    """Where each of a rank's `length` batches ends among its `own` items: each later batch must get one, too."""
    return [min(batch_size * (n + 1), own - (length - 1 - n)) for n in range(length)]


def check_batching(batch_size: int, rank: int, world_size: int) -> None:
    """Raises ValueError for a batch size or a rank that cannot be."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must be at least 0 and below world_size {world_size}, got {rank}")
