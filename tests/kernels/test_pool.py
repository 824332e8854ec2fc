"""The pool of worker threads runs each tile once, hands errors on, survives forks, and leaves BLAS as it found it."""

import os
import threading
import time

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from minigan.kernels import pool
from minigan.kernels.pool import SingleThreadedBLAS, get_num_threads, parallel_for, set_num_threads

CONTROLLERS = ThreadpoolController().select(user_api="blas").lib_controllers
if not CONTROLLERS:
    pytest.skip("NumPy's BLAS is none that threadpoolctl knows", allow_module_level=True)
BLAS = CONTROLLERS[0]
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def _four_threads():
    before, blas = get_num_threads(), BLAS.get_num_threads()
    set_num_threads(4)
    yield
    set_num_threads(before)
    BLAS.set_num_threads(blas)


def within(seconds, function):
    """function's result, or a failure if it hangs."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert result, "it hangs"
    return result[0]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 1000])
def test_every_tile_runs_once(n):
    counts = np.zeros(n, int)

    def body(i):
        counts[i] += 1

    parallel_for(n, body)
    assert (counts == 1).all()


def test_several_threads_share_the_tiles():
    names = set()

    def body(i):
        time.sleep(0.005)
        names.add(threading.current_thread().name)

    parallel_for(40, body)
    assert len(names) == 4


def test_the_caller_gets_a_workers_exception_and_the_pool_lives_on():
    def body(i):
        time.sleep(0.001)
        if threading.current_thread() is not threading.main_thread():
            raise ZeroDivisionError("in a worker")

    def run():
        try:
            parallel_for(100, body)
        except ZeroDivisionError as error:
            return str(error)
        return "nothing raised"

    for _ in range(20):
        assert within(10, run) == "in a worker"
    test_every_tile_runs_once(1000)


def test_an_exception_ends_the_work_early():
    ran = []

    def body(i):
        ran.append(i)
        if i == 0:
            raise KeyError(i)
        time.sleep(0.001)

    with pytest.raises(KeyError):
        parallel_for(10_000, body)
    assert len(ran) < 1000


def test_calls_nest():
    counts = np.zeros((7, 9), int)

    def outer(i):
        def inner(j):
            counts[i, j] += 1

        parallel_for(9, inner)

    within(10, lambda: parallel_for(7, outer) or True)
    assert (counts == 1).all()


def test_many_threads_may_call_at_once():
    totals = np.zeros(8, int)

    def caller(k):
        for _ in range(200):
            counts = np.zeros(13, int)

            def body(i, counts=counts):
                counts[i] += 1

            parallel_for(13, body)
            totals[k] += counts.sum()

    def run():
        threads = [threading.Thread(target=caller, args=(k,), daemon=True) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return True

    within(30, run)
    assert (totals == 200 * 13).all()


def test_changing_the_number_of_threads_ends_the_old_workers():
    parallel_for(8, lambda i: time.sleep(0.001))
    set_num_threads(2)
    assert get_num_threads() == 2
    parallel_for(8, lambda i: time.sleep(0.001))
    deadline = time.time() + 5
    while time.time() < deadline:
        workers = [t for t in threading.enumerate() if t.name.startswith("minigan-")]
        if len(workers) == 1:
            return
        time.sleep(0.01)
    raise AssertionError(workers)


def test_the_number_of_threads_may_change_during_work():
    stop = threading.Event()

    def changer():
        while not stop.is_set():
            for n in (1, 2, 5):
                set_num_threads(n)

    thread = threading.Thread(target=changer, daemon=True)
    thread.start()
    try:
        within(30, lambda: [parallel_for(5, lambda i: None) for _ in range(2000)])
    finally:
        stop.set()
        thread.join()


def test_zero_threads_are_refused():
    with pytest.raises(ValueError, match="got 0"):
        set_num_threads(0)


@forks
def test_a_forked_child_makes_its_own_pool():
    parallel_for(8, lambda i: time.sleep(0.001))
    with SingleThreadedBLAS():
        child = os.fork()
        if child == 0:
            done = np.zeros(50, int)

            def body(i):
                done[i] = 1

            parallel_for(50, body)
            os._exit(0 if done.all() and BLAS.get_num_threads() == 1 else 1)
    assert within(20, lambda: os.waitpid(child, 0))[1] == 0


@forks
def test_a_child_forked_while_another_thread_works_has_the_users_blas_setting():
    BLAS.set_num_threads(3)
    entered, leave = threading.Event(), threading.Event()

    def holder():
        with SingleThreadedBLAS():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=holder)
    thread.start()
    entered.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if BLAS.get_num_threads() == 3 else 1)
    leave.set()
    thread.join()
    assert within(20, lambda: os.waitpid(child, 0))[1] == 0
    assert BLAS.get_num_threads() == 3


@pytest.mark.parametrize("setting", [1, 2, 3])
def test_blas_is_single_threaded_inside_and_as_before_outside(setting):
    BLAS.set_num_threads(setting)
    seen = []
    parallel_for(10, lambda i: seen.append(BLAS.get_num_threads()))
    assert set(seen) == {1}
    assert BLAS.get_num_threads() == setting
    with SingleThreadedBLAS():
        with SingleThreadedBLAS():
            assert BLAS.get_num_threads() == 1
        parallel_for(10, lambda i: None)
        assert BLAS.get_num_threads() == 1
    assert BLAS.get_num_threads() == setting
    with pytest.raises(KeyError):
        parallel_for(10, lambda i: {}[i])
    assert BLAS.get_num_threads() == setting


def test_holds_of_several_threads_overlap():
    BLAS.set_num_threads(2)
    first, second = threading.Event(), threading.Event()

    def other():
        with SingleThreadedBLAS():
            first.set()
            second.wait()

    thread = threading.Thread(target=other)
    with SingleThreadedBLAS():
        thread.start()
        first.wait()
    assert BLAS.get_num_threads() == 1
    second.set()
    thread.join()
    assert BLAS.get_num_threads() == 2


def test_a_sleeping_pool_keeps_no_arrays_alive():
    import gc
    import weakref

    class Marker:
        pass

    marker = Marker()
    reference = weakref.ref(marker)
    parallel_for(8, lambda i, marker=marker: time.sleep(0.001))
    del marker
    time.sleep(0.05)
    gc.collect()
    assert reference() is None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not say")
def test_the_default_is_the_cores_of_this_process():
    assert pool._default_num_threads() == len(os.sched_getaffinity(0))
