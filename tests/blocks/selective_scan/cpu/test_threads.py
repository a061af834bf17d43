"""Work in threads, also after a fork and from several threads at once."""

import multiprocessing
import threading

import pytest

from medseg.blocks.selective_scan.cpu import threads


@pytest.mark.parametrize(("jobs", "most"), [(0, 2), (1, 4), (3, 1), (7, 3), (2, 8)])
def test_every_job_is_done_once(jobs, most):
    done = []
    threads.run([lambda job=job: done.append(job) for job in range(jobs)], most)
    assert sorted(done) == list(range(jobs))


def test_no_more_threads_than_asked_for_work():
    who = set()
    barrier = threading.Barrier(2)

    def meet():
        barrier.wait(timeout=60)
        who.add(threading.get_ident())

    threads.run([meet] * 6, 2)
    assert len(who) == 2


def test_what_a_job_raises_arrives():
    def fail():
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        threads.run([fail], 1)
    with pytest.raises(ArithmeticError):
        threads.run([lambda: None, fail, lambda: None, fail], 3)


def test_callers_do_not_wait_for_each_other_forever():
    counts = [0] * 8

    def call(caller):
        def count():
            counts[caller] += 1

        for _ in range(50):
            threads.run([count] * 4, 3)

    callers = [threading.Thread(target=call, args=(caller,)) for caller in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    assert counts == [200] * 8


def _count_in_child(pipe):
    done = []
    threads.run([lambda: done.append(1)] * 4, 3)
    pipe.send(len(done))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # that is what is tested
def test_a_forked_process_has_threads_of_its_own():
    threads.run([lambda: None] * 4, 3)  # these threads do not exist in the child
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_count_in_child, args=(there,))
    child.start()
    assert here.poll(60)
    assert here.recv() == 4
    child.join(60)
