"""What the benchmarks of training share: spread of ratios, and results with their origin."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crystal_apps.benchmark.origin import origin
from crystal_data.metrics import Interval, SeedInterval, bootstrap_interval, seed_interval

RESULTS = Path(__file__).parent / "results"
MIN_SEEDS = 3  # of an interval over seeds
PARTS = ("data", "embed", "gen", "gan", "relax")


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return {"median": float(middle), "low": float(low), "high": float(high)}


def ratios(reference: list[float], times: list[float]) -> dict[str, float]:
    """How many times as fast, round by round: a busy machine slows both of a round alike."""
    return spread([first / second for first, second in zip(reference, times, strict=True)])


def mean_over_seeds(values: np.ndarray) -> dict[str, Any]:
    """Mean over seeds and rows with its interval; values are ``[num_seeds, num_rows]``."""
    known = values[:, np.isfinite(values).any(0)]
    if not known.size:
        return {"value": None, "low": None, "high": None, "count": 0}
    if len(known) >= MIN_SEEDS:
        found: Interval | SeedInterval = seed_interval(known)
    else:
        found = bootstrap_interval(np.nanmean(known, axis=0), rng=np.random.default_rng(0))
    return {
        "value": found.estimate,
        "low": found.low,
        "high": found.high,
        "count": known.shape[1],
        "seeds": len(known),
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes results as JSON, with date, commit, kind of machine, its load and versions."""
    place = {
        **origin(RESULTS),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg(),
        "versions": {
            name: version(name)
            for name in (*(f"crystal-{part}" for part in PARTS), "torch", "lightning")
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, **place}, indent=1), encoding="utf-8")
    print(f"written to {path}")
