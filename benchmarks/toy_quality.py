"""What the toy learns, over many seeds: each preset, and the default preset with each other preprocess.

    python -m benchmarks.toy_quality --seeds 20
    python -m benchmarks.toy_quality --seeds 100 --first-seed 1000 --only default

A seed counts as learned if mean and standard deviation are within 0.1 of the data's and the KS distance is at most 0.1.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.environment import machine, versions
from examples.toy_gaussian import draw_final_samples, final_figures
from minigan import DivergedError
from minigan.gans import toy
from minigan.gans.toy import PRESETS, Options

IN_ROWS = replace(PRESETS["default"], rows=8, batch=32)  # as many samples a batch as the default
CASES: dict[str, Options] = {
    "default": PRESETS["default"],
    "default, no average": replace(PRESETS["default"], average=0.0),
    "default, moments": replace(IN_ROWS, preprocess="moments"),
    "default, variances": replace(IN_ROWS, preprocess="variances"),
    "default, diffs": replace(IN_ROWS, preprocess="diffs"),
    "default, raw": replace(IN_ROWS, preprocess="raw"),
    "original": PRESETS["original"],
}


@dataclass(frozen=True)
class Settings:
    """What the toy learns, over many seeds."""

    seeds: int = 20
    """how many"""
    first_seed: int = 0
    """the first of them"""
    only: tuple[str, ...] = ()
    """cases to run, e.g. default original; all of them if none is named"""
    mu: float = 4.0
    """mean of the data"""
    sigma: float = 1.25
    """standard deviation of the data"""
    processes: int = os.cpu_count() or 1
    """seeds that are trained at once, each on one thread"""
    output: Path | None = None
    """write the results here, as JSON"""


def learn(task: tuple[str, Options]) -> tuple[str, dict[str, Any]]:
    """Train one case with one seed; the final figures and the seconds it took."""
    case, o = task
    with threadpool_limits(1, "blas"):
        system, start = toy.build(o), time.perf_counter()
        try:
            for _ in system.play():
                pass
            figures = final_figures(o, draw_final_samples(system)[1])
        except (DivergedError, ValueError) as error:
            return case, {"seed": o.seed, "failed": str(error)}
    return case, {"seed": o.seed, "seconds": time.perf_counter() - start, **figures}


def tasks(s: Settings) -> Iterator[tuple[str, Options]]:
    """Every case with every seed."""
    for case in s.only or CASES:
        for seed in range(s.first_seed, s.first_seed + s.seeds):
            yield case, replace(CASES[case], mu=s.mu, sigma=s.sigma, seed=seed)


def row(case: str, results: list[dict[str, Any]], mu: float, sigma: float) -> str:
    """One line of the table: how many seeds learned, and worst and median of each error."""
    done = [r for r in results if "failed" not in r]
    errors = {
        "mean": np.array([abs(r["mean"] - mu) for r in done]),
        "std": np.array([abs(r["std"] - sigma) for r in done]),
        "ks": np.array([r["ks"] for r in done]),
        "w1": np.array([r["wasserstein1"] for r in done]),
    }
    learned = int(np.sum((errors["mean"] <= 0.1) & (errors["std"] <= 0.1) & (errors["ks"] <= 0.1)))
    cells = [f"{e.max():.3f} / {np.median(e):.3f}" for e in errors.values()] if done else ["-"] * 4
    return f"| {case:<20} | {learned:>3} of {len(results):<3} | {' | '.join(f'{c:>15}' for c in cells)} |"


def main(s: Settings) -> None:
    """Train them all, print the table, write the JSON."""
    unknown = set(s.only) - set(CASES)
    if unknown:
        raise SystemExit(f"error: only: expected some of {', '.join(CASES)}, got {', '.join(sorted(unknown))}")
    results: dict[str, list[dict[str, Any]]] = {case: [] for case in s.only or CASES}
    todo = list(tasks(s))
    with multiprocessing.get_context("spawn").Pool(s.processes) as pool:
        for case, result in tqdm(pool.imap_unordered(learn, todo), total=len(todo), disable=None, unit="seed"):
            results[case].append(result)
    titles = [f"{t:>15}" for t in ("mean", "std", "KS", "Wasserstein-1")]
    print(f"| {'worst / median error':<20} | {'learned':>10} | {' | '.join(titles)} |")
    print(f"|{'-' * 22}|{'-' * 12}|{'|'.join('-' * 17 for _ in titles)}|")
    for case, found in results.items():
        print(row(case, found, s.mu, s.sigma))
    if s.output:
        about = {"date": date.today().isoformat(), "machine": machine(), "versions": versions()}
        ordered = {case: sorted(found, key=lambda r: r["seed"]) for case, found in results.items()}
        s.output.write_text(json.dumps({**about, "mu": s.mu, "sigma": s.sigma, "results": ordered}, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
