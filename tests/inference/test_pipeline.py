import threading
import weakref

import numpy as np
import pytest

from medseg.data.cases import Case
from medseg.errors import ImageError
from medseg.inference.cohort import Failure, Job
from medseg.inference.pipeline import Stages, run
from medseg.inference.scans import Scan

WAYS = pytest.mark.parametrize("overlap", [True, False])


@pytest.fixture
def jobs(tmp_path):
    return [Job(Scan(Case(name, (tmp_path / name,))), tmp_path / f"{name}.out") for name in "abcd"]


def stages(read=lambda job: job.case.name, segment=lambda _, given: given, finish=lambda *_: None):
    return Stages(read, segment, finish)


@WAYS
def test_every_case_goes_through_its_stages_in_order(jobs, overlap):
    written = []
    done = run(
        jobs,
        stages(
            segment=lambda job, given: job.case.name + given,
            finish=lambda job, found: written.append((job.case.name, found)),
        ),
        overlap=overlap,
    )
    assert list(done) == jobs
    assert written == [("a", "aa"), ("b", "bb"), ("c", "cc"), ("d", "dd")]


@WAYS
@pytest.mark.parametrize("stage", ["read", "segment", "finish"])
def test_an_error_in_any_stage_belongs_to_its_case_and_spares_the_others(jobs, overlap, stage):
    def fail(job, *_):
        if job is jobs[1]:
            raise ImageError("is damaged", where=job.image, remedy="Copy it anew")
        if job is jobs[2]:
            np.zeros(2)[5]
        return "given"

    first, second, third, fourth = run(jobs, stages(**{stage: fail}), overlap=overlap)
    assert (first, fourth) == (jobs[0], jobs[3])
    assert (second.job, third.job) == (jobs[1], jobs[2])
    assert "b: is damaged" in str(second.error)
    assert second.unforeseen is None
    assert "failed with IndexError index 5 is out of bounds" in str(third.error)
    assert third.unforeseen == "IndexError"
    assert isinstance(third.error.__cause__, IndexError)  # which --debug shows


@WAYS
def test_a_scan_that_is_too_large_is_told_so(jobs, overlap):
    def segment(_job, _given):
        raise MemoryError

    (failure,) = run(jobs[:1], stages(segment=segment), overlap=overlap)
    assert "needs more memory than there is. Close other programs" in str(failure.error)


def test_the_next_scan_is_read_and_the_last_written_while_one_is_segmented(jobs):
    met = threading.Barrier(3, timeout=20)  # one thread alone would wait in vain

    def read(job):
        if job is jobs[2]:
            met.wait()

    def segment(job, _given):
        if job is jobs[1]:
            met.wait()

    def finish(job, _found):
        if job is jobs[0]:
            met.wait()

    assert list(run(jobs[:3], stages(read, segment, finish))) == jobs[:3]


@WAYS
def test_no_more_than_three_cases_are_held(jobs, overlap):
    held, most = weakref.WeakSet(), []

    class Voxels:
        def __init__(self):
            held.add(self)
            most.append(len(held))

    results = run(
        jobs * 3, stages(read=lambda _: Voxels(), segment=lambda _, given: given), overlap=overlap
    )
    assert len(list(results)) == 12
    assert max(most) <= (3 if overlap else 1)
    assert not held


@WAYS
def test_a_failure_lets_go_of_the_scan(jobs, overlap):
    held = weakref.WeakSet()

    class Voxels:
        pass

    def read(_job):
        voxels = Voxels()
        held.add(voxels)
        return voxels

    def segment(_job, _given):
        raise ImageError("is odd", where="here", remedy="Look")

    failures = list(run(jobs, stages(read, segment), overlap=overlap))
    assert all(isinstance(failure, Failure) for failure in failures)
    assert not held


def test_an_interruption_lets_the_case_being_written_end(jobs):
    began, written = threading.Event(), []

    def segment(job, given):
        if job is jobs[1]:
            began.wait(20)
            raise KeyboardInterrupt
        return given

    def finish(job, _found):
        began.set()
        written.append(job)

    with pytest.raises(KeyboardInterrupt):
        list(run(jobs, stages(segment=segment, finish=finish)))
    assert written == jobs[:1]
