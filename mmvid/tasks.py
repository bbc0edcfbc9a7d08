"""What a run computes: an entry point with its options, the digests of its inputs and the source of its modules.

Its key is a digest of all that: equal keys mean equal results.
"""

import dataclasses
import functools
import hashlib
import json
from typing import Any

from mmvid.sources import sources_digest


@dataclasses.dataclass(frozen=True)
class Task:
    """What one run computes.

    Attributes:
        entry: the entry point, such as `train_moe`.
        options: the options that decide its result, as JSON values.
        inputs: the digest of each input.
        modules: the modules whose source decides its result.
        name: the run's name in the UI.
    """

    entry: str
    options: dict[str, Any]
    inputs: dict[str, str]
    modules: tuple[str, ...]
    name: str = ""

    @functools.cached_property
    def key(self) -> str:
        """32 hexadecimal digits; equal keys mean equal results."""
        return _digest(self.entry, self.options, self.inputs, self.sources)

    @functools.cached_property
    def request(self) -> str:
        """What is asked for, whatever the source: of two runs with one request, the newer makes the older needless."""
        return _digest(self.entry, self.options, self.inputs)

    @functools.cached_property
    def sources(self) -> str:
        """The digest of the source that decides the result."""
        return sources_digest(self.modules)


class NotComputedError(Exception):
    """There is no finished run of a task, and none is to be computed."""

    def __init__(self, task: Task):
        super().__init__(f"{task.name or task.entry} has no finished run with key {task.key[:12]}")
        self.task = task


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
