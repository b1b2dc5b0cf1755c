"""Runs all that is not finished, as many side by side as asked for."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock, Timeout

from crystal_apps.pipeline.check import read_data_module
from crystal_apps.pipeline.ranks import Ranks, free_port
from crystal_apps.pipeline.spec import PipelineError, Run
from crystal_apps.pipeline.task import Task

if TYPE_CHECKING:
    from crystal_data import CrystalDataModule


class Observer(Protocol):
    """Receives what happens to the runs; called from several threads."""

    def started(self, task: Task) -> None:
        """A run begins, or goes on."""

    def epoch(self, task: Task, done: int, total: int) -> None:
        """An epoch has ended."""

    def finished(self, task: Task, *, before: bool) -> None:
        """A run has come to its end, or had done so before."""

    def failed(self, task: Task, reason: str) -> None:
        """A run has failed, or cannot start because one it needs has."""


@dataclass
class Schedule:
    """Works off the runs of a pipeline.

    Args:
        tasks: Those that others start from before them.
        observer: Receives what happens.
        jobs: Runs side by side on this machine.
        threads: Of each run; None shares the machine's out, unless OMP_NUM_THREADS says.
        ranks: This process among those that run the same pipeline; with several, ``jobs`` is 1.
    """

    tasks: Sequence[Task]
    observer: Observer
    jobs: int = 1
    threads: int | None = None
    ranks: Ranks = field(default_factory=Ranks)

    def __post_init__(self) -> None:
        self._data: dict[str, CrystalDataModule] = {}
        self._fingerprints: dict[str, str] = {}
        self._processes: list[subprocess.Popen[str]] = []
        self._is_stopped = False
        # Each job that runs has a place of its own, and with it its share of the devices.
        self._places: SimpleQueue[int] = SimpleQueue()
        for place in range(self.jobs):
            self._places.put(place)

    def check(self) -> None:
        """Reads every configuration before anything runs.

        Raises:
            PipelineError: If one of them would be refused.
        """
        for task in self.tasks:
            self._data_of(task)

    def run(self) -> list[Run]:
        """Runs what is not finished.

        Returns:
            Runs that failed or could not start.
        """
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                return self._work_off(pool)
            except BaseException:
                # A signal; without this the pool would wait until the trainings are done.
                pool.shutdown(wait=False, cancel_futures=True)
                self._is_stopped = True
                for process in self._processes:
                    process.terminate()
                raise

    def _work_off(self, pool: ThreadPoolExecutor) -> list[Run]:
        left, bad = list(self.tasks), list[Run]()
        done = set[str]()
        active: dict[Future[None], Task] = {}
        while left or active:
            for task in [task for task in left if _is_settled(task, done, bad)]:
                if len(active) >= self.jobs:
                    break
                left.remove(task)
                if lost := [run for run in task.run.needs if run in bad]:
                    self.observer.failed(task, f"needs {lost[0].title}")
                    bad.append(task.run)
                else:
                    active[pool.submit(self._run, task)] = task
            for future in wait(active, return_when=FIRST_COMPLETED).done:
                task = active.pop(future)
                try:
                    future.result()
                    done.add(task.run.name)
                except PipelineError as error:
                    self.observer.failed(task, str(error))
                    bad.append(task.run)
        return bad

    def _run(self, task: Task) -> None:
        started = time.perf_counter()

        def decide() -> tuple[str, bool, int]:
            key = task.key(self.fingerprint(task))
            is_done = task.is_done(key)
            if not is_done:
                task.prepare(key)
            return key, is_done, free_port()

        key, is_done, port = self.ranks.agree(decide)
        if is_done:
            self.observer.finished(task, before=True)
            return
        self.observer.started(task)
        self._execute(task, port)
        if self.ranks.rank == 0:
            task.finish(key, time.perf_counter() - started)
        self.observer.finished(task, before=False)

    def _execute(self, task: Task, port: int) -> None:
        place = self._places.get()
        variables = {**os.environ, **self._share(place), **self.ranks.environment(port)}
        failure = None
        try:
            task.execute(
                lambda epoch, total: self.observer.epoch(task, epoch, total),
                variables,
                self.ranks.rank,
                self._note_process,
            )
        except PipelineError as error:
            failure = error
        finally:
            self._places.put(place)
        if not self.ranks.all_well(is_well=failure is None):
            raise failure or PipelineError(f"{task.run.title}: failed in another process")

    def _note_process(self, process: "subprocess.Popen[str]") -> None:
        self._processes.append(process)
        if self._is_stopped:
            process.terminate()

    def _share(self, place: int) -> dict[str, str]:
        own = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        return share(place, self.jobs) | own

    def fingerprint(self, task: Task) -> str:
        """Hash of the data, made once for all runs that differ in nothing but the seed."""
        name = _without_seed(task.run)
        if name not in self._fingerprints:
            self._fingerprints[name] = self._data_of(task).fingerprint()
        return self._fingerprints[name]

    def _data_of(self, task: Task) -> "CrystalDataModule":
        """The data module of a run, which has read nothing yet."""
        if (name := _without_seed(task.run)) not in self._data:
            arguments = [*task.options, *task.common]
            self._data[name] = read_data_module(task.run.title, arguments, task.allow_modules)
        return self._data[name]


@contextmanager
def alone_in(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Keeps a second command from working in the same folder.

    Raises:
        PipelineError: If another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")

    def take() -> None:
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise PipelineError(
                f"{folder}: another `crystal run` works in this folder",
                "wait for its end, or give another --out",
            ) from error

    ranks.agree(take)
    try:
        yield
    finally:
        lock.release()


def share(place: int, jobs: int) -> dict[str, str]:
    """Variables that give a job its share of the machine: threads, and GPUs where there are any.

    Args:
        place: Number of the job, from 0.
        jobs: How many there are side by side.
    """
    import torch

    variables: dict[str, str] = {}
    if "OMP_NUM_THREADS" not in os.environ and jobs > 1:
        variables["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // jobs))
    gpus = _visible_gpus(os.environ, torch.cuda.device_count())
    if jobs > 1 and gpus:
        each = max(1, len(gpus) // jobs)
        chosen = [gpus[(place * each + i) % len(gpus)] for i in range(each)]
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
    return variables


def _visible_gpus(variables: Mapping[str, str], count: int) -> list[str]:
    named = variables.get("CUDA_VISIBLE_DEVICES")
    return [str(i) for i in range(count)] if named is None else [g for g in named.split(",") if g]


def _is_settled(task: Task, done: set[str], bad: Sequence[Run]) -> bool:
    return all(run.name in done or run in bad for run in task.run.needs)


def _without_seed(run: Run) -> str:
    return json.dumps([[str(config) for config in run.configs], dict(run.options)], sort_keys=True)
