"""Two versions of the packages that take turns at the same work, each in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from math import exp

import numpy as np

from crystal_data.metrics import seed_interval

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Worker:
    """A process of one version that answers each line of its input with a line.

    Args:
        python: Interpreter of the version.
        code: Runs under both versions, so it uses only what both have. Its first line of output
            says that it is ready.
        arguments: Given to the code.
    """

    def __init__(self, python: str, code: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-c", code, *arguments],
            env={**os.environ, **dict.fromkeys(THREADS, "1")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first_answer = self._answer()

    def ask(self, question: str = "") -> list[str]:
        """Words of the answer."""
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return self._answer().split()

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            sys.exit("a process ended early; its message is above")
        return line


def answers(workers: dict[str, Worker], questions: Sequence[str]) -> dict[str, list[list[str]]]:
    """Asks all the same, one after the other; who is first changes with each question."""
    found: dict[str, list[list[str]]] = {name: [] for name in workers}
    for number, question in enumerate(questions):
        for name in list(workers) if number % 2 == 0 else reversed(workers):
            found[name].append(workers[name].ask(question))
    for worker in workers.values():
        worker.stop()
    return found


def ratio(new: Sequence[float], old: Sequence[float]) -> float:
    """Median over turns of new / old."""
    return float(np.median(np.array(new) / np.array(old)))


def mean_ratio(ratios: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Geometric mean over the pairs of processes, and the ends of its 95 % interval."""
    found = seed_interval(np.log(ratios))
    if found.low is None or found.high is None:
        return exp(found.estimate), None, None
    return exp(found.estimate), exp(found.low), exp(found.high)
