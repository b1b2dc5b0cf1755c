"""How a pipeline's runs are shown in a terminal, and in a log where there is none."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from crystal_apps.pipeline.outcome import gather, spread
from crystal_apps.pipeline.task import Task


class Display:
    """A line for each run that has ended, and below them a bar for each that goes on.

    Args:
        console: Where to.
        total: Number of runs.
    """

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._ended = 0
        self._bars: dict[str, Any] = {}
        self._progress = Progress(
            TextColumn("{task.description:<36}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def started(self, task: Task) -> None:
        """Shows a bar."""
        self._bars[task.run.name] = self._progress.add_task(task.run.title, total=None)

    def epoch(self, task: Task, done: int, total: int) -> None:
        """Moves it."""
        self._progress.update(self._bars[task.run.name], completed=done, total=total)

    def finished(self, task: Task, *, before: bool) -> None:
        """Puts a line in its place."""
        self._end(task, "[dim]finished before[/]" if before else f"{task.seconds:.0f} s")

    def failed(self, task: Task, reason: str) -> None:
        """The same, in red."""
        self._end(task, f"[red]failed[/]: {escape(reason)}")

    def _end(self, task: Task, how: str) -> None:
        if task.run.name in self._bars:
            self._progress.remove_task(self._bars.pop(task.run.name))
        self._ended += 1
        count = f"{self._ended:>{len(str(self._total))}}/{self._total}"
        self._console.print(
            f"[dim]{count}[/]  {task.run.title:<44} {how}", soft_wrap=True, highlight=False
        )


def print_outcomes(console: Console, tasks: Sequence[Task]) -> None:
    """Prints what each stage measured: test errors, or validation errors where it was not tested.

    Args:
        console: Where to.
        tasks: Runs, finished or not.
    """
    outcomes = gather(tasks)
    tested = {outcome.stage for outcome in outcomes if outcome.metric.startswith("test/")}
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("stage", "variant", "metric", "mean ± std over seeds", "seeds"):
        table.add_column(column, justify="right" if column == "seeds" else "left")
    for outcome in outcomes:
        split = "test" if outcome.stage in tested else "val"
        # The mean over targets says nothing new where there is one target.
        if outcome.metric.startswith(f"{split}/mae/"):
            variant = ", ".join(outcome.variant.values())
            value = f"{spread(outcome.mean, outcome.std)} {outcome.unit}"
            seeds = str(len(outcome.by_seed))
            table.add_row(outcome.stage, variant, outcome.metric, value, seeds)
    if table.row_count:
        console.print()
        console.print(table)
