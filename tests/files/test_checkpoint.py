"""A checkpoint comes back exactly, a damaged one never, and a save that is broken off leaves the old or the new one."""

from __future__ import annotations

import copy
import errno
import hashlib
import json
import math
import multiprocessing
import os
import shutil
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan import Adam, BatchNorm1d, Linear, Parameters, Sequential
from minigan.arrays import register_array_type
from minigan.files.checkpoint import Checkpoints, first_non_finite, load, save
from minigan.files.weights import CheckpointError, load_weights
from tests.devices.fake_device import fake_cupy
from tests.files.damage import bit_flipped, mutated, truncated
from tests.files.saving_loop import save_until_killed, state_at
from tests.files.test_weights import any_array, assert_same
from tests.memory import examples

ATOMS = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**200), 2**200) | st.floats() | st.text() | any_array()
)
KEYS = st.text(max_size=4) | st.sampled_from(["$array", "$float", "$$", "$", "a/b", "a~1b", "0", "~"])
ENTRIES = st.recursive(ATOMS, lambda x: st.lists(x, max_size=4) | st.dictionaries(KEYS, x, max_size=4), max_leaves=12)
STATES = st.dictionaries(st.sampled_from(["G", "D", "G.adam", "rng", "step_1", "-"]), ENTRIES, max_size=4)


def assert_equal(actual: Any, expected: Any) -> None:
    """Same types, same structure, same bits."""
    assert type(actual) is type(expected)
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for key, value in expected.items():
            assert_equal(actual[key], value)
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_equal(one, other)
    elif isinstance(expected, np.ndarray):
        assert_same(actual, expected)
    elif isinstance(expected, float):
        assert actual.hex() == expected.hex()
    else:
        assert actual == expected


def training(seed: int = 0) -> dict[str, Any]:
    """A small state with all that a training has."""
    rng = np.random.default_rng(seed)
    G = Sequential(Linear(2, 3), BatchNorm1d(3))
    g = G.init(rng)
    adam = Adam(g)
    adam.step(Parameters({name: rng.normal(size=a.shape).astype(a.dtype) for name, a in g.items()}))
    return {
        "G": g.state_dict(),
        "G_adam": adam.state_dict(),
        "rng": rng.bit_generator.state,
        "step": seed,
        "losses": [0.5, math.inf, math.nan],
    }


# A state and what comes back


@given(STATES)
@examples(300)
def test_every_state_comes_back_exactly(tmp_path: Path, state: dict[str, Any]) -> None:
    save(tmp_path / "c", state)
    assert_equal(load(tmp_path / "c"), state)


@pytest.mark.parametrize("generator", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_a_generator_goes_on_where_it_was(tmp_path: Path, generator: Callable[[int], Any]) -> None:
    rng = np.random.Generator(generator(0))
    rng.integers(0, 100, size=3, dtype=np.uint32)  # leaves half a number behind
    save(tmp_path / "c", {"rng": rng.bit_generator.state})
    expected = rng.normal(size=5)
    again = np.random.Generator(generator(1))
    again.bit_generator.state = load(tmp_path / "c")["rng"]
    np.testing.assert_array_equal(again.normal(size=5), expected)


def test_an_optimizer_goes_on_where_it_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    G = Sequential(Linear(3, 2))
    g, other = G.init(rng), G.init(rng)
    gradient = Parameters({name: rng.normal(size=a.shape).astype(a.dtype) for name, a in g.items()})
    adam = Adam(g)
    adam.step(gradient)
    save(tmp_path / "c", {"G": g, "adam": adam.state_dict()})
    adam_again, state = Adam(other), load(tmp_path / "c")
    other.load_state_dict(state["G"])
    adam_again.load_state_dict(state["adam"])
    adam.step(gradient)
    adam_again.step(gradient)
    np.testing.assert_array_equal(other.flat, g.flat)


def test_a_players_file_is_an_ordinary_weight_file(tmp_path: Path) -> None:
    g = Sequential(Linear(2, 3), BatchNorm1d(3)).init(np.random.default_rng(0))
    save(tmp_path / "c", {"G": g, "step": 3})
    loaded = load_weights(tmp_path / "c" / "G.safetensors")
    assert loaded.keys() == g.state_dict().keys()
    for name, a in g.state_dict().items():
        assert_same(loaded[name], a)


def test_arrays_whose_places_read_alike_are_kept_apart(tmp_path: Path) -> None:
    one, two, three = np.array(1), np.array(2), np.array(3)
    state = {"a": {"b": {"c": one}, "b/c": two, "b~1c": three, "0": [one], "d": [[two], three], "d/0": {"0": one}}}
    save(tmp_path / "c", state)
    assert_equal(load(tmp_path / "c"), state)


def test_numpys_scalars_come_back_as_pythons(tmp_path: Path) -> None:
    save(tmp_path / "c", {"a": np.float32(0.1), "b": np.int64(3), "c": np.bool_(True), "d": np.float64("nan")})
    state = load(tmp_path / "c")
    assert_equal(state, {"a": float(np.float32(0.1)), "b": 3, "c": True, "d": math.nan})


def test_arrays_of_a_device_come_back_on_the_host(tmp_path: Path) -> None:
    register_array_type(type(fake_cupy.asarray(np.ones(1))), fake_cupy)
    a = np.arange(6.0).reshape(2, 3)
    state = {"G": {"w": fake_cupy.asarray(a).T}}
    assert first_non_finite(state) is None
    save(tmp_path / "c", state)
    assert_same(load(tmp_path / "c")["G"]["w"], a.T)


def test_the_same_state_makes_the_same_bytes(tmp_path: Path) -> None:
    state = training()
    save(tmp_path / "one", state)
    save(tmp_path / "other", {key: state[key] for key in reversed(state)})
    names = sorted(os.listdir(tmp_path / "one"))
    assert names == ["G.safetensors", "G_adam.safetensors", "manifest.json", "state.json"]
    assert sorted(os.listdir(tmp_path / "other")) == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_saving_leaves_the_state_as_it_is(tmp_path: Path) -> None:
    state = training()
    before = copy.deepcopy(state)
    save(tmp_path / "c", state)
    assert_equal(state, before)


# What is refused


def _circle() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["a"] = circle
    return circle


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ([1], TypeError, "state: expected a dict, got list"),
        ({"a b": 1}, ValueError, "state: expected names made of letters.* got 'a b'"),
        ({"../a": 1}, ValueError, r"state: expected names made of letters.* got '\.\./a'"),
        ({3: 1}, ValueError, "state: expected names made of letters.* got 3"),
        ({"a": {3: 1}}, TypeError, "state a: expected strings as keys, got 3"),
        ({"a": [{"b": (1, 2)}]}, TypeError, "state a/0/b: expected dicts, lists, .* got tuple"),
        ({"a": {"b": object()}}, TypeError, "state a/b: expected dicts, lists, .* got object"),
        ({"a": {"b": b"x"}}, TypeError, "state a/b: expected dicts, lists, .* got bytes"),
        ({"a": np.longdouble(1)}, TypeError, "'state a': expected float.* got dtype"),
        ({"a": {"b": np.array([object()])}}, TypeError, "'state a/b': expected float.* got dtype object"),
        ({"a": {"__metadata__": np.ones(1)}}, ValueError, "no place for '__metadata__'"),
        ({"G": np.ones(1), "g": np.ones(1)}, ValueError, r"upper from lower case in G\.safetensors, g\.safetensors"),
        ({"a": _circle()}, ValueError, r"state a/a/a/a/a/\.\.\.: nested more than 100 deep, or in a circle"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_its_place_before_anything_is_written(
    tmp_path: Path, state: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        save(tmp_path / "folder" / "c", state)
    with pytest.raises(error, match=message):
        Checkpoints(tmp_path / "folder").save(1, state)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path: Path, checkpoint: bool) -> None:
    if checkpoint:
        save(tmp_path / "thesis", {"a": 0})
    else:
        (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1").write_text("precious")
    with pytest.raises(CheckpointError, match="thesis: exists already and is no sound checkpoint"):
        save(tmp_path / "thesis", {"a": 1})
    assert (tmp_path / "thesis" / "chapter1").read_text() == "precious"


def test_a_checkpoint_is_replaced(tmp_path: Path) -> None:
    save(tmp_path / "c", {"G": np.ones(2)})
    save(tmp_path / "c", {"a": 1})
    assert load(tmp_path / "c") == {"a": 1}
    assert os.listdir(tmp_path) == ["c"]


@pytest.mark.parametrize("arguments", [{"keep": 0}, {"step": -1}])
def test_counts_out_of_range_are_refused(tmp_path: Path, arguments: dict[str, int]) -> None:
    name, value = next(iter(arguments.items()))
    with pytest.raises(ValueError, match=f"{name}: expected at least ., got {value}"):
        Checkpoints(tmp_path, arguments.get("keep", 1)).save(arguments.get("step", 1), {})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_first_array_with_a_number_that_is_not_finite_is_named(value: float) -> None:
    state = training()
    state["counts"] = [np.arange(3), np.array(True)]
    assert first_non_finite(state) is None  # its list of losses is no array
    state["G_adam"]["V"][4] = value
    assert first_non_finite(state) == "G_adam/V"
    g = Sequential(Linear(2, 3), BatchNorm1d(3)).init(np.random.default_rng(0))
    g.buffers["1.running_var"][0] = value
    assert first_non_finite({"many": [g, {"deep": [np.array(value)]}]}) == "many/0/1.running_var"
    assert first_non_finite({"many": [{"deep": [np.array(value, np.float16)]}]}) == "many/0/deep/0"


# Damage


def test_a_thousand_bit_flips_and_truncations_are_all_found_and_the_checkpoint_before_is_taken(tmp_path: Path) -> None:
    rng, checkpoints = np.random.default_rng(0), Checkpoints(tmp_path)
    checkpoints.save(1, training(1))
    checkpoints.save(2, training(2))
    folder, before = tmp_path / "step-00000002", load(tmp_path / "step-00000001")
    files = sorted(folder.iterdir())
    for _ in range(1_000):
        path = files[rng.integers(len(files))]
        whole = path.read_bytes()
        path.write_bytes((bit_flipped if rng.random() < 0.7 else truncated)(rng, whole))
        with pytest.raises(CheckpointError, match=path.name):
            load(folder)
        with pytest.warns(RuntimeWarning, match=f"checkpoint skipped: .*step-00000002/{path.name}: damaged"):
            found = checkpoints.latest()
        assert found is not None
        assert found[0] == 1
        path.write_bytes(whole)
    assert_equal(found[1], before)
    assert_equal(load(folder), training(2))


@pytest.mark.parametrize("name", ["G.safetensors", "state.json", "manifest.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    save(tmp_path / "c", training())
    (tmp_path / "c" / name).unlink()
    with pytest.raises(CheckpointError, match=f"c/{name}: (is missing|there is no such file)"):
        load(tmp_path / "c")


def test_an_added_file_is_named(tmp_path: Path) -> None:
    save(tmp_path / "c", training())
    (tmp_path / "c" / "D.safetensors").write_bytes((tmp_path / "c" / "G.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"c/D\.safetensors: does not belong to the checkpoint"):
        load(tmp_path / "c")


def test_two_files_that_changed_places_are_found(tmp_path: Path) -> None:
    save(tmp_path / "c", {"G": {"w": np.zeros(2)}, "D": {"w": np.ones(2)}})
    G, D = tmp_path / "c" / "G.safetensors", tmp_path / "c" / "D.safetensors"
    g, d = G.read_bytes(), D.read_bytes()
    G.write_bytes(d)
    D.write_bytes(g)
    with pytest.raises(CheckpointError, match=r"D\.safetensors: damaged"):
        load(tmp_path / "c")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none/manifest\.json: there is no such file"):
        load(tmp_path / "none")


def _sign(folder: Path, **changes: Any) -> None:
    """Make the manifest fit the files: what it says of itself, as anybody could write it who knows the format."""
    contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}
    sizes = {n: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for n, data in contents.items()}
    body = {"format": 1, "files": sizes, "score": None, **changes}
    digest = hashlib.sha256(f"{json.dumps(body, indent=1, sort_keys=True)}\n".encode()).hexdigest()
    text = json.dumps({**body, "sha256": digest}, indent=1, sort_keys=True)
    (folder / "manifest.json").write_bytes(f"{text}\n".encode())


def test_a_checkpoint_of_another_format_is_refused_as_such(tmp_path: Path) -> None:
    save(tmp_path / "c", training())
    _sign(tmp_path / "c")
    assert_equal(load(tmp_path / "c"), training())
    _sign(tmp_path / "c", format=2)
    with pytest.raises(CheckpointError, match=r"manifest\.json: expected format 1, got 2"):
        load(tmp_path / "c")


@pytest.mark.parametrize("changes", [{"files": [1]}, {"files": None}, {"score": "low"}, {"score": [1]}])
def test_a_manifest_that_fits_but_is_not_minigans_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    save(tmp_path / "c", training())
    _sign(tmp_path / "c", **changes)
    with pytest.raises(CheckpointError, match=r"manifest\.json: whole, but not written by minigan"):
        load(tmp_path / "c")


@pytest.mark.parametrize("rounds", [250, pytest.param(1_250, marks=pytest.mark.slow)])
@pytest.mark.parametrize("signed", [False, True])
def test_nothing_but_the_documented_error_comes_of_mutated_checkpoints(
    tmp_path: Path, signed: bool, rounds: int
) -> None:
    rng, folder, refused = np.random.default_rng(signed), tmp_path / "c", 0
    save(folder, training())
    wholes = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    paths, size = list(wholes), sum(len(whole) for whole in wholes.values())
    for i in range(rounds):
        if i == 0.8 * rounds:
            tracemalloc.start()  # which takes its time
        path = paths[rng.integers(len(paths))]
        path.write_bytes(mutated(rng, wholes[path]))
        if signed:
            _sign(folder)
        try:
            load(folder)
        except CheckpointError as error:
            refused += str(folder) in str(error)
        path.write_bytes(wholes[path])
        (folder / "manifest.json").write_bytes(wholes[folder / "manifest.json"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused > 0.4 * rounds
    assert peak < 100 * size + 2e6


# The checkpoints of a run


def test_the_newest_and_the_best_stay(tmp_path: Path) -> None:
    scores = {10: 5.0, 20: 2.0, 30: 3.0, 40: math.nan, 50: 2.0, 60: None}
    for step, score in scores.items():
        Checkpoints(tmp_path, keep=2).save(step, {"step": step}, score)  # a new one each time: a resumed run
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.steps() == [20, 50, 60]
    assert sorted(os.listdir(tmp_path)) == ["step-00000020", "step-00000050", "step-00000060"]
    assert checkpoints.latest() == (60, {"step": 60})
    assert checkpoints.best() == (20, {"step": 20})
    checkpoints.save(70, {"step": 70}, np.float32(1.5))
    assert checkpoints.steps() == [60, 70]
    assert checkpoints.best() == (70, {"step": 70})


def test_a_run_without_checkpoints_has_none(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "none")
    assert checkpoints.steps() == []
    assert checkpoints.latest() is None
    assert checkpoints.best() is None
    checkpoints.save(1, {})
    assert checkpoints.best() is None


def test_steps_beyond_eight_digits_keep_their_order_and_other_names_are_left_alone(tmp_path: Path) -> None:
    for name in ["step-1", "step-000000001", "notes", "step-00000002.bak"]:
        (tmp_path / name).mkdir()
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in [99_999_999, 100_000_000, 1_000_000_000]:
        checkpoints.save(step, {"step": step})
    assert checkpoints.steps() == [100_000_000, 1_000_000_000]
    assert len(os.listdir(tmp_path)) == 6


def test_a_damaged_best_gives_way_to_the_next_best_with_a_warning(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=5)
    for step, score in [(1, 3.0), (2, 1.0), (3, 2.0), (4, 0.5)]:
        checkpoints.save(step, {"step": step}, score)
    (tmp_path / "step-00000002" / "state.json").write_text("{}")
    (tmp_path / "step-00000004" / "manifest.json").write_text("{}")
    with pytest.warns(RuntimeWarning, match="checkpoint skipped") as caught:
        assert checkpoints.best() == (3, {"step": 3})
    assert len(caught) == 2
    assert {Path(warning.filename) for warning in caught} == {Path(__file__)}


def test_a_step_before_a_sound_checkpoint_is_refused_and_before_a_damaged_one_is_saved(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(5, {"line": 1})
    with pytest.raises(CheckpointError, match="step 4 would come after step-00000005"):
        checkpoints.save(4, {"line": 2})
    (tmp_path / "step-00000005" / "state.json").write_text("{}")
    checkpoints.save(4, {"line": 2})
    with pytest.warns(RuntimeWarning, match="step-00000005"):
        assert checkpoints.latest() == (4, {"line": 2})
    checkpoints.save(5, {"line": 2})
    assert checkpoints.latest() == (5, {"line": 2})
    assert checkpoints.steps() == [5]


# Saves that are broken off


CHANGING = ["open", "write", "fsync", "close", "mkdir", "rename", "unlink", "rmdir", "scandir"]


class Killed(BaseException):
    """Nothing that the program does after this reaches the disk."""


@contextmanager
def broken_at(k: int, error: BaseException, forever: bool) -> Iterator[list[str]]:
    """The k-th call that changes the file system raises `error`, and if `forever` all after it do; yields the calls."""
    calls: list[str] = []

    def breaking(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            if len(calls) == k and name == "write":
                function(args[0], args[1][: len(args[1]) // 2])
            if len(calls) == k or (forever and len(calls) > k):
                raise error
            return function(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGING:
            patch.setattr(os, name, breaking(name, getattr(os, name)))
        yield calls


@pytest.mark.skipif(os.name == "nt", reason="counts POSIX's calls")
@pytest.mark.parametrize("how", ["killed", "disk full for a moment", "disk full for good"])
@pytest.mark.parametrize("step", [3, 2], ids=["a new step", "the same step again"])
def test_a_save_broken_off_at_any_call_leaves_the_old_or_the_new_state(tmp_path: Path, how: str, step: int) -> None:
    outcomes, k = set(), 0
    while True:
        k += 1
        folder = tmp_path / f"{k}"
        checkpoints = Checkpoints(folder, keep=1)
        checkpoints.save(2, state_at(2))
        new = state_at(7)
        error = Killed() if how == "killed" else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with broken_at(k, error, forever=how != "disk full for a moment") as calls:
            try:
                checkpoints.save(step, new)
            except Killed:
                outcomes.add("killed")
            except CheckpointError as refusal:
                outcomes.add("refused")
                assert "No space left on device" in str(refusal), calls  # noqa: PT017
        assert_equal(new, state_at(7))
        found = Checkpoints(folder).latest()  # a warning would fail the test: nothing damaged has a checkpoint's name
        assert found is not None, calls
        assert_equal(found, (step, state_at(7)) if found[1]["step"] == 7 else (2, state_at(2)))
        outcomes.add(f"state {found[1]['step']}")
        for one in checkpoints.steps():
            load(folder / f"step-{one:08d}")  # half a removal, too, must not have a checkpoint's name
        if how == "disk full for a moment" and calls[k - 1 : k] in (["mkdir"], ["write"], ["fsync"]):
            assert [name for name in os.listdir(folder) if name.startswith(".")] == []
        Checkpoints(folder, keep=1).save(step, state_at(9))
        assert os.listdir(folder) == [f"step-{step:08d}"]
        assert_equal(Checkpoints(folder).latest(), (step, state_at(9)))
        shutil.rmtree(folder)
        if len(calls) < k:
            break
    assert k > 25
    assert outcomes == {"killed" if how == "killed" else "refused", "state 2", "state 7"}


@pytest.mark.skipif(os.name == "nt", reason="counts POSIX's calls")
def test_every_file_and_folder_is_on_the_disk_before_the_name_is_given(tmp_path: Path) -> None:
    with broken_at(0, Killed(), forever=False) as calls:
        Checkpoints(tmp_path).save(1, state_at(1))
    one_file = ["open", "write", "fsync", "close"]  # D, G, state.json and the manifest
    assert calls == ["mkdir", "mkdir", *one_file * 4, "open", "fsync", "close", "rename", "open", "fsync", "close"]


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "mkdir", forbidden)
    with pytest.raises(CheckpointError, match=r"step-00000001: could not be written: .*Permission denied"):
        Checkpoints(tmp_path).save(1, {"a": 1})


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and a server that forks are POSIX's")
def test_a_run_killed_thirty_times_goes_on_each_time_from_a_whole_checkpoint(tmp_path: Path) -> None:
    context, rng, last, told = multiprocessing.get_context("forkserver"), np.random.default_rng(), 0, 0
    context.set_forkserver_preload(["tests.files.saving_loop"])
    for _ in range(30):
        here, there = context.Pipe()
        run = context.Process(target=save_until_killed, args=(tmp_path, there))
        run.start()
        assert here.recv() == last
        for _ in range(rng.integers(3)):
            told = here.recv()
        time.sleep(rng.uniform(0.0, 0.02))
        run.kill()
        run.join()
        found = Checkpoints(tmp_path).latest()  # a warning would fail the test
        if found is not None:
            assert found[0] >= max(last, told)
            assert_equal(found[1], state_at(found[0]))
            last = found[0]
    assert last >= told > 3
