"""Work on several threads at once."""

import threading
from collections.abc import Callable
from typing import Any


def on_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """The results of work(0), work(1), ..., each on a thread of its own, started together."""
    results: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def run(i: int) -> None:
        barrier.wait()
        try:
            results[i] = work(i)
        except BaseException as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
