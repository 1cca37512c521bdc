"""A map by threads that keeps the order and never holds more than a few items."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_flight(
    function: Callable[[Item], Result], items: Iterable[Item], in_flight: int
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in the order of `items`.

    Args:
        function: runs on `in_flight` threads.
        items: of any length; taken only as fast as the results are.
        in_flight: calls at a time that are under way, or done and not yet taken.
    """
    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(in_flight, thread_name_prefix="predict") as threads:
        try:
            for item in items:
                if len(under_way) == in_flight:
                    yield under_way.popleft().result()
                under_way.append(threads.submit(function, item))
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
