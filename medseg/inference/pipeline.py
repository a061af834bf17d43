"""Cases one after the other, while the next one is read and the last one is written.

At most three cases are held: one being read, one being segmented, one being written. An error
belongs to its case, whichever thread it arose in, and spares the others.
"""

import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from medseg import memory
from medseg.errors import MedsegError
from medseg.inference.cohort import Failure, Job

Given = TypeVar("Given")
Found = TypeVar("Found")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Stages(Generic[Given, Found]):
    """What is done with a case: all steps for one case in this order.

    Attributes:
        read: Runs ahead, in a thread of its own.
        segment: Runs in the thread of the caller.
        finish: Runs behind, in a thread of its own.
    """

    read: Callable[[Job], Given]
    segment: Callable[[Job, Given], Found]
    finish: Callable[[Job, Found], None]


def run(
    jobs: list[Job], stages: Stages[Given, Found], *, overlap: bool = True
) -> Iterator[Failure | Job]:
    """Yield each job when it is done, or its failure, whatever it is, in the order of `jobs`.

    When it is left early, by Ctrl-C too, the case that is being written is written to its end.

    Args:
        jobs: The cases.
        stages: What is done with each.
        overlap: Whether the stages of neighbours go on at the same time, for more memory.
    """
    return _overlapping(jobs, stages) if overlap else _in_turn(jobs, stages)


def _in_turn(jobs: list[Job], stages: Stages[Given, Found]) -> Iterator[Failure | Job]:
    for job in jobs:
        yield _alone(job, stages)


def _alone(job: Job, stages: Stages[Given, Found]) -> Failure | Job:
    found = [_segmented(job, [partial(stages.read, job)], stages)]
    if isinstance(found[0], Failure):
        return found[0]
    return _tried(job, partial(_finish, job, found, stages))


def _overlapping(jobs: list[Job], stages: Stages[Given, Found]) -> Iterator[Failure | Job]:
    with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(1, "writer") as writer:
        ahead: list[Future[Given]] = []
        behind: list[tuple[Job, Future[Job]]] = []
        for number, job in enumerate(jobs):
            following = jobs[number + 1 : number + 2]
            reading = ahead.pop() if ahead else reader.submit(stages.read, job)
            reading.exception()  # wait: the next is not read before this one is there
            ahead += [reader.submit(stages.read, each) for each in following]
            read: list[Callable[[], Given]] = [reading.result]
            del reading  # it holds the scan
            found = [_segmented(job, read, stages)]
            yield from _written(behind)
            if isinstance(found[0], Failure):
                yield found[0]
            else:
                behind.append((job, writer.submit(_finish, job, found, stages)))
        yield from _written(behind)


def _written(behind: list[tuple[Job, Future[Job]]]) -> Iterator[Failure | Job]:
    while behind:
        job, writing = behind.pop()
        yield _tried(job, writing.result)


# What is large is handed on in a list and taken out of it: an error keeps the frames of all callers
# alive, and what these name.


def _segmented(
    job: Job, read: list[Callable[[], Given]], stages: Stages[Given, Found]
) -> Found | Failure:
    return _tried(job, partial(_segment, job, read, stages))


def _segment(job: Job, read: list[Callable[[], Given]], stages: Stages[Given, Found]) -> Found:
    return stages.segment(job, read.pop()())


def _finish(job: Job, found: list[Any], stages: Stages[Given, Found]) -> Job:
    stages.finish(job, found.pop())
    return job


def _tried(job: Job, act: Callable[[], Result]) -> Result | Failure:
    result = _guarded(job, act)
    if isinstance(result, Failure):
        _let_go(result.error)
    return result


def _guarded(job: Job, act: Callable[[], Result]) -> Result | Failure:
    try:
        return act()
    except MedsegError as error:
        return Failure(job, error)
    except Exception as error:
        failure = _unforeseen(job, error)
        failure.__cause__ = error
        return Failure(job, failure, unforeseen=type(error).__name__)


def _let_go(error: BaseException) -> None:
    """Free what the functions held that the error passed through, such as the scan's voxels."""
    chain: BaseException | None = error
    while chain is not None:
        traceback.clear_frames(chain.__traceback__)
        chain = chain.__cause__ or chain.__context__


def _unforeseen(job: Job, error: Exception) -> MedsegError:
    if memory.ran_out(error):
        remedy = "Close other programs, or use a machine with more"
        return MedsegError("needs more memory than there is", where=job.image, remedy=remedy)
    said = " ".join([type(error).__name__, *str(error).split()])
    return MedsegError(
        f"failed with {said:.200}",
        where=job.image,
        remedy="If there is memory enough, predict it alone with --debug to see where",
    )
