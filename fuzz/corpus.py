"""How every target starts: a corpus folder that begins with seeds and keeps what the fuzzer finds."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris


def start(argv: list[str], check: Callable[[bytes], None], seeds: Iterable[bytes]) -> None:
    """Fuzzes `check` until time is up or it raises.

    Args:
        argv: the program, the corpus folder, and options of libFuzzer. An input that makes `check` raise, hang or
            take too much memory is written beside the corpus; `python -m fuzz.TARGET FILE` runs it again.
        check: raises where something is wrong.
        seeds: the inputs to begin with.
    """
    options = ["-timeout=10", "-rss_limit_mb=2048"]
    if len(argv) > 1 and not argv[1].startswith("-") and not Path(argv[1]).is_file():
        folder = Path(argv[1])
        folder.mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
        options.append(f"-artifact_prefix={folder}-")
    atheris.Setup([*argv, *options], check)
    atheris.Fuzz()
