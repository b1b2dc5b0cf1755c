"""Training runs one after the other, quietly; those that are finished are not run again."""

import hashlib
import json
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import TextIOBase
from pathlib import Path
from typing import Any

import yaml

from crystal_data.io import write_text

_DONE = "stage.json"
_EPOCH = re.compile(r"epoch (\d+)/(\d+)")

Progress = Callable[[int, int], None]


class StageError(RuntimeError):
    """A stage that did not come to its end; its log says why."""


@dataclass(frozen=True)
class Stage:
    """A run of ``crystal fit`` and ``crystal test``.

    Args:
        folder: The run's folder.
        title: For people.
        config: What ``--config`` is given; plain YAML values.
        inputs: Files that the config names, whose content counts.
    """

    folder: Path
    title: str
    config: Mapping[str, Any]
    inputs: Sequence[Path] = ()

    @property
    def epochs(self) -> int:
        """How many the run has."""
        return int(self.config["trainer"]["max_epochs"])

    def key(self) -> str:
        """Hash of all that the result follows from; the data's own hash among it."""
        from crystal_data import BuiltinSource

        digest = hashlib.sha256(BuiltinSource().fingerprint().encode())
        digest.update(json.dumps(self.config, sort_keys=True).encode())
        for path in self.inputs:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def is_done(self) -> bool:
        """Whether the folder holds the finished run of just this stage."""
        record = self.folder / _DONE
        if not record.is_file():
            return False
        try:
            return bool(json.loads(record.read_text(encoding="utf-8")).get("key") == self.key())
        except (ValueError, AttributeError):
            return False

    def run(self, progress: Progress) -> None:
        """Trains and tests, with all output in ``log.txt``.

        Args:
            progress: Called with the epochs that are done and their total.

        Raises:
            StageError: If either fails.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _DONE).unlink(missing_ok=True)
        config = self.folder / "input.yaml"
        write_text(config, yaml.safe_dump(dict(self.config), sort_keys=False))
        root = ["--trainer.default_root_dir", str(self.folder)]
        with (self.folder / "log.txt").open("w", encoding="utf-8") as file:
            log = _Log(file, progress)
            with redirect_stdout(log), redirect_stderr(log), _one_thread():
                for command in (["fit"], ["test", "--ckpt_path", "best"]):
                    self._command([*command, "--config", str(config), *root])
        write_text(self.folder / _DONE, json.dumps({"key": self.key()}) + "\n")

    def _command(self, arguments: list[str]) -> None:
        from crystal_data.training.cli import main

        log = self.folder / "log.txt"
        try:
            status = main(arguments)
        except SystemExit as error:
            status = int(error.code or 0) if isinstance(error.code, int) else 1
        except Exception as error:
            print(traceback.format_exc())  # to the log; the message may be long
            summary = str(error).partition("\n")[0][:200]
            raise StageError(
                f"{self.title}: {type(error).__name__}: {summary}; see {log}"
            ) from error
        if status:
            raise StageError(f"{self.title}: {arguments[0]} ended with status {status}; see {log}")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keeps torch from sharing out matrices so small that its threads mostly wait."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Log(TextIOBase):
    """Writes to a file and reads the epochs off what the training prints."""

    def __init__(self, file: Any, progress: Progress) -> None:
        self._file = file
        self._progress = progress

    def write(self, text: str) -> int:
        for done, total in _EPOCH.findall(text):
            self._progress(int(done), int(total))
        return int(self._file.write(text))

    def flush(self) -> None:
        # Python flushes once more when it collects this, after the file has been closed.
        if not self._file.closed:
            self._file.flush()

    def isatty(self) -> bool:
        return False
