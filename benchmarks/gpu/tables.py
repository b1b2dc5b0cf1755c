"""Works off pipelines on a machine that is lent for minutes: many small runs, one GPU, all cores.

    python benchmarks/gpu/tables.py --data-root DATA --out RUNS --seconds 540 --gpu-jobs 8
        --gpu configs/pipelines/A.yaml --cpu configs/pipelines/B.yaml:stage,stage --cpu-jobs 7

Runs are those of ``crystal run``, in the same folders with the same keys, so that ``crystal run``
and ``crystal benchmark run`` find them finished, or go on with them, on any other machine. What
differs is how they start: a worker, one process for each place on the GPU or the cores, runs one
after the other, because to import everything takes longer than many of the runs. Whichever list is
worked off first, its workers help with the other. When the time is up what is not finished
is ended, and goes on from its last epoch with the next call. ``--pack`` then writes the runs as
one tar.gz in parts of 15 MiB: checkpoints only of what is not finished, artifacts only where other
runs start from them or ``--keep`` names the stage.
"""

import argparse
import gzip
import io
import json
import multiprocessing
import os
import sys
import tarfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from crystal_apps.pipeline.schedule import Schedule
from crystal_apps.pipeline.spec import read_pipeline
from crystal_apps.pipeline.task import Task
from crystal_data.run_folder import RunFolder

PART = 15 * 2**20


@dataclass
class Worker:
    """A process that runs one task after the other, in which imports and CUDA start once."""

    process: BaseProcess
    pipe: Connection
    device: str
    task: Task | None = None
    key: str = ""
    began: float = 0.0

    def start(self, task: Task, key: str) -> None:
        """Begins a run."""
        task.prepare(key)
        commands = [[*one, "--trainer.accelerator", self.device] for one in task.commands()]
        self.task, self.key, self.began = task, key, time.monotonic()
        self.pipe.send((commands, str(task.folder / "log.txt")))


@dataclass
class Pool:
    """Runs that are meant for one kind of device, in their order."""

    device: str
    schedule: Schedule
    left: list[Task]
    workers: list[Worker] = field(default_factory=list)


def serve(pipe: Connection, device: str) -> None:
    """What a worker does: commands come in, exit statuses go out."""
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    from crystal_data.training.command import main

    torch.set_num_threads(1)
    while True:
        commands, path = pipe.recv()
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        status = 1
        try:
            status = next((found for one in commands if (found := main(one))), 0)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        pipe.send(status)


def pool(device: str, places: int, given: Sequence[str], options: argparse.Namespace) -> Pool:
    """The runs of ``FILE`` or ``FILE:stage,stage`` that are not finished."""
    tasks: list[Task] = []
    for text in given:
        file, _, stages = text.partition(":")
        pipeline = read_pipeline(file)
        common = ("--data_root", str(options.data_root))
        found = [Task(run, options.out / pipeline.name, common) for run in pipeline.runs()]
        wanted = stages.split(",") if stages else list(pipeline.stages)
        tasks += [task for task in found if task.run.stage in wanted]
    schedule = Schedule(tasks, observer=None)  # type: ignore[arg-type]  # nothing runs in it
    one = Pool(device, schedule, list(tasks))
    context = multiprocessing.get_context("spawn")
    for _ in range(places):
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, device))
        process.start()
        one.workers.append(Worker(process, ours, device))
    return one


def ready(one: Pool, failed: set[str]) -> Iterator[tuple[Task, str]]:
    """Runs that can start, those first that nothing has to be waited for."""
    for task in list(one.left):
        needs = [Task(need, task.root) for need in task.run.needs]
        if any(str(need.folder) in failed for need in needs):
            one.left.remove(task)
            failed.add(str(task.folder))
            print(f"{task.folder}: cannot start", flush=True)
        elif all(is_finished(need.folder) for need in needs):
            key = task.key(one.schedule.fingerprint(task))
            if task.is_done(key):
                one.left.remove(task)
                continue
            yield task, key


def is_finished(run: Path) -> bool:
    record = run / "stage.json"
    return record.is_file() and json.loads(record.read_text(encoding="utf-8"))["state"] == "done"


def take_result(worker: Worker, failed: set[str]) -> None:
    """Takes note of a run that has ended."""
    status, task, seconds = worker.pipe.recv(), worker.task, time.monotonic() - worker.began
    assert task is not None
    worker.task = None
    if not status:
        task.finish(worker.key, seconds)
        print(f"{worker.device} {seconds:6.1f} s  {task.folder}", flush=True)
        return
    failed.add(str(task.folder))
    print(f"FAILED {worker.device} {task.folder}", flush=True)
    lines = (task.folder / "log.txt").read_text(errors="replace").splitlines()
    print("\n".join(lines[-4:])[-600:], flush=True)


def work(pools: Sequence[Pool], end: float) -> None:
    """Keeps all workers busy until everything is done or the time is up."""
    failed: set[str] = set()
    workers = [worker for one in pools for worker in one.workers]
    while time.monotonic() < end:
        for one in pools:
            idle = [worker for worker in one.workers if worker.task is None]
            # Its own list first, then the other's.
            for source in sorted(pools, key=lambda other: other is not one):
                for task, key in ready(source, failed):
                    if not idle:
                        break
                    source.left.remove(task)
                    idle.pop().start(task, key)
        busy = [worker.pipe for worker in workers if worker.task is not None]
        if not busy:
            break
        done = wait(busy, timeout=max(0.0, min(1.0, end - time.monotonic())))
        for worker in workers:
            if worker.pipe in done:
                take_result(worker, failed)
    for worker in workers:
        worker.process.kill()
        if worker.task is not None:
            print(f"ended: {worker.task.folder}", flush=True)
    left = sum(len(one.left) for one in pools) + sum(worker.task is not None for worker in workers)
    print(f"{left} runs are left, {len(failed)} failed", flush=True)


class Parts(io.RawIOBase):
    """Writes files of at most ``PART`` bytes, ``runs.tar.gz.00`` and so on."""

    # ruff: noqa: D102

    def __init__(self, folder: Path) -> None:
        self._folder, self._number, self._left = folder, 0, 0
        self._file: io.BufferedWriter | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        view = memoryview(data)
        while view:
            if self._left == 0:
                if self._file:
                    self._file.close()
                self._file = (self._folder / f"runs.tar.gz.{self._number:02d}").open("wb")
                self._number, self._left = self._number + 1, PART
            taken = view[: self._left]
            assert self._file is not None
            self._file.write(taken)
            self._left -= len(taken)
            view = view[len(taken) :]
        return len(data)

    def close(self) -> None:
        if self._file:
            self._file.close()
        super().close()


def pack(pools: Sequence[Pool], out: Path, folder: Path, keep: Sequence[str]) -> None:
    """Writes what is wanted of all runs."""
    tasks = [task for one in pools for task in one.schedule.tasks]
    started_from = {task.root / need.name for task in tasks for need in task.run.needs}
    started_from |= {task.folder for task in tasks if task.run.stage in keep}
    with (
        Parts(folder) as parts,
        gzip.GzipFile(fileobj=parts, mode="wb", compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for run in sorted({task.folder for task in tasks} | started_from):
            files = RunFolder(run)
            left_out = set() if run in started_from else {files.artifact}
            if is_finished(run):
                left_out.add(files.checkpoints)
            for path in sorted(run.rglob("*")):
                if path.is_file() and not left_out & set(path.parents):
                    archive.add(path, path.relative_to(out))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", nargs="*", default=[], help="pipelines for the GPU")
    parser.add_argument("--cpu", nargs="*", default=[], help="pipelines for the cores")
    parser.add_argument("--gpu-jobs", type=int, default=0)
    parser.add_argument("--cpu-jobs", type=int, default=0)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument("--pack", type=Path, help="folder for the archive of the runs")
    parser.add_argument("--keep", nargs="*", default=[], help="stages whose artifacts to pack")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    os.environ["CRYSTAL_DATA_HOME"] = str(options.data_root.absolute())
    pools = [
        pool("gpu", options.gpu_jobs, options.gpu, options),
        pool("cpu", options.cpu_jobs, options.cpu, options),
    ]
    print(f"{[len(one.left) for one in pools]} runs; ready after "
          f"{options.seconds - (end - time.monotonic()):.0f} s", flush=True)  # fmt: skip
    work(pools, end)
    if options.pack:
        options.pack.mkdir(parents=True, exist_ok=True)
        pack(pools, options.out, options.pack, options.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
