"""Which versions failed to load, and when to try them again."""

import time
from dataclasses import dataclass

Fingerprint = frozenset[tuple[str, int, int]]
"""A folder's files: name, size and time of each."""


class LoadFailures:
    """Versions that failed to load; one is due again when its files change, or for a retry.

    Args:
        retries: how often the same files are tried again.
        retry_seconds: time between two such tries.
    """

    def __init__(self, retries: int, retry_seconds: float) -> None:
        self._retries = retries
        self._retry_seconds = retry_seconds
        self._failures: dict[tuple[str, int], _Failure] = {}

    def is_due(self, model: str, version: int, files: Fingerprint) -> bool:
        """Whether to try this version, with these files, now."""
        failure = self._failures.get((model, version))
        if failure is None or failure.files != files:
            return True
        return failure.retries_left > 0 and time.monotonic() >= failure.next_try

    def add(self, model: str, version: int, files: Fingerprint) -> None:
        """Note that a version failed to load."""
        failure = self._failures.get((model, version))
        same_files = failure is not None and failure.files == files
        retries_left = failure.retries_left - 1 if failure and same_files else self._retries
        next_try = time.monotonic() + self._retry_seconds
        self._failures[model, version] = _Failure(files, retries_left, next_try)

    def discard(self, model: str, version: int) -> None:
        """Forget a version, which has been loaded."""
        self._failures.pop((model, version), None)

    def clear(self) -> None:
        """Forget all of them, so that each is due."""
        self._failures.clear()


@dataclass(frozen=True)
class _Failure:
    files: Fingerprint
    retries_left: int
    next_try: float
