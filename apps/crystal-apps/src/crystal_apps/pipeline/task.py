"""One run on disk: whether it is finished, and how it is made or gone on with."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from crystal_apps.pipeline.spec import PipelineError, Run
from crystal_data.artifacts import artifact_files
from crystal_data.io import DamagedFileError, read_json, read_yaml, write_text
from crystal_data.run_folder import BEST, LAST, RunFolder

_RECORD = "stage.json"
_EPOCH = re.compile(r"^epoch (\d+)/(\d+)")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Task:
    """A run and where it lives.

    ``stage.json`` in its folder says with which key it was started and whether it came to its end.
    The key is a hash of the configuration, of the data and of the files that the run starts from,
    so a finished run with the same key need not be run again, and one that was interrupted can go
    on from its last checkpoint.

    Args:
        run: What to run.
        root: Folder of the pipeline.
        common: Options that every command of every run gets; they are not part of the key,
            because they say where to run and not what.
        allow_modules: Further modules whose classes and functions configs may name.
    """

    run: Run
    root: Path
    common: tuple[str, ...] = ()
    allow_modules: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return self.root / self.run.name

    @cached_property
    def options(self) -> list[str]:
        """The command line of ``crystal fit``, behind the word ``fit``."""
        seeds = {"seed_everything": self.run.seed, "data.seed": self.run.seed}
        options = seeds | self.run.resolved(self.root)
        configs = [text for config in self.run.configs for text in ("--config", str(config))]
        return configs + [text for key, value in options.items() for text in _option(key, value)]

    def key(self, data_fingerprint: str) -> str:
        """Hash of all that the result follows from.

        Args:
            data_fingerprint: Hash of the data.
        """
        digest = hashlib.sha256()
        # Not the files' text, whose comments may change.
        configs = [read_yaml(config) for config in self.run.configs]
        options = dict(self.run.options)
        said = [configs, options, self.run.seed, self.run.commands, data_fingerprint]
        # Where the pipeline's folder is does not matter; what is in it does.
        needs = [str(self.root / need.name) for need in self.run.needs]
        files = _content([configs, self.run.resolved(self.root), needs])
        for part in [json.dumps(said, sort_keys=True, default=str).encode(), *files]:
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()

    def is_done(self, key: str) -> bool:
        """Whether the folder holds the finished run with this key."""
        record = self._record()
        return record.get("key") == key and record.get("state") == "done"

    @property
    def seconds(self) -> float:
        """How long the run took, interruptions not counted; 0 if it never came to its end."""
        return float(self._record().get("seconds", 0.0))

    def prepare(self, key: str) -> None:
        """Marks the folder as that of this run, and clears it if it was another's.

        Raises:
            PipelineError: If there are files in it that no pipeline made.
        """
        if self.folder.is_dir() and any(self.folder.iterdir()):
            if not (self.folder / _RECORD).is_file():
                raise PipelineError(
                    f"{self.folder}: holds files that no pipeline made", "give another --out"
                )
            if self._record().get("key") != key:
                shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_record({"title": self.run.title, "key": key, "state": "started"})

    def execute(
        self,
        progress: Progress,
        environment: Mapping[str, str],
        rank: int = 0,
        started: Callable[["subprocess.Popen[str]"], None] | None = None,
    ) -> None:
        """Runs the commands in a process of their own, with all output in ``log.txt``.

        Args:
            progress: Called with the epochs that are done and their total.
            environment: Variables of that process.
            started: Called with that process.
            rank: Of this process among those that somebody else started to train together.

        Raises:
            PipelineError: If a command fails; the message has the end of the log.
        """
        # The modules apart from the commands, which hold options of the pipeline's file.
        arguments = [json.dumps(self.commands()), json.dumps(self.allow_modules)]
        command = [sys.executable, "-m", "crystal_apps.pipeline.child", *arguments]
        path = self.folder / (f"log-{rank}.txt" if rank else "log.txt")
        with (
            path.open("a", encoding="utf-8") as log,
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                # Without this, Python would take modules from the working folder first.
                env={**environment, "PYTHONSAFEPATH": "1"},
            ) as process,
        ):
            if started is not None:
                started(process)
            for line in process.stdout or ():
                log.write(line)
                log.flush()
                if match := _EPOCH.match(line):
                    progress(int(match[1]), int(match[2]))
        if process.returncode:
            raise PipelineError(f"{self.run.title}: {_last_words(path, process.returncode)}")

    def finish(self, key: str, seconds: float) -> None:
        """Notes that the run came to its end."""
        record = {"title": self.run.title, "key": key, "state": "done"}
        self._write_record({**record, "seconds": round(seconds, 1)})

    def commands(self) -> list[list[str]]:
        """Arguments of each command."""
        root = ["--trainer.default_root_dir", str(self.folder)]
        found = []
        for command in self.run.commands:
            arguments = [command, *self.options, *root, *self.common]
            if command == "fit" and RunFolder(self.folder).checkpoint(LAST).is_file():
                arguments += ["--ckpt_path", LAST]
            elif command != "fit" and "fit" in self.run.commands:
                arguments += ["--ckpt_path", BEST]
            found.append(arguments)
        return found

    def _record(self) -> dict[str, Any]:
        try:
            record = json.loads((self.folder / _RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _write_record(self, record: Mapping[str, Any]) -> None:
        write_text(self.folder / _RECORD, json.dumps(record) + "\n")


def run_title(folder: Path) -> str:
    """Title of the run in a folder; empty if no pipeline made it.

    Raises:
        DamagedFileError: If what the pipeline wrote is damaged.
    """
    path = folder / _RECORD
    if not path.is_file():
        return ""
    record = read_json(path)
    if not isinstance(record, dict):
        raise DamagedFileError(path, f"dict expected, {type(record).__name__} found")
    return str(record.get("title") or "")


def _option(key: str, value: Any) -> list[str]:
    if isinstance(value, str):
        return [f"--{key}", value]
    return [f"--{key}", json.dumps(value)]


def _content(value: Any) -> list[bytes]:
    """Content of every file, and of every run's artifact, that a value names."""
    if isinstance(value, Mapping):
        return [part for item in value.values() for part in _content(item)]
    if isinstance(value, list):
        return [part for item in value for part in _content(item)]
    if not isinstance(value, str) or not value or len(value) > 1000:
        return []
    path = Path(value)
    return [file.read_bytes() for file in (path, *artifact_files(path)) if file.is_file()]


def _last_words(log: Path, status: int) -> str:
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    said = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    how = f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"{how}: {said[:500]}; all of it in {log}"
