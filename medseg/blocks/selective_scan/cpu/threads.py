"""Work shared among threads, by any number of callers at once and in forked processes too.

numba's own threads are not used: a data-loader worker that was forked, or two callers at once, end
the process under some of its threading layers. The compiled loops let go of the interpreter's lock,
so Python's threads do as well.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait


def run(jobs: Sequence[Callable[[], object]], threads: int) -> None:
    """Run every job to its end in so many threads at most, of which the caller's is one.

    Raises:
        Exception: Whatever a job raised.
    """
    rest = iter(jobs)  # one for all: who is done takes the next

    def work() -> None:
        for job in rest:
            job()

    others = min(threads, len(jobs)) - 1
    futures = [_pool(os.getpid(), others).submit(work) for _ in range(others)]
    try:
        work()
    finally:
        wait(futures)
    for future in futures:
        future.result()


@functools.lru_cache(maxsize=8)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001  a fork has no threads
    """Return the threads of this process."""
    return ThreadPoolExecutor(threads, thread_name_prefix="selective-scan")
