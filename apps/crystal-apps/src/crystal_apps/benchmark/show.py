"""A benchmark's tables as Markdown and in the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from crystal_apps.benchmark.convergence import MOST_LATE_DROP, UNCONVERGED_MARK
from crystal_apps.benchmark.results import BenchmarkResults, ResultTable, Row, allowed
from crystal_apps.benchmark.spec import Benchmark
from crystal_apps.pipeline.outcome import spread
from crystal_data.metrics import MIN_SEEDS

_MARK_MEANS = (
    f"{UNCONVERGED_MARK} unconverged: the validation error still fell by more than "
    f"{100 * MOST_LATE_DROP:.0f} % over the last tenth of the epochs, "
    "or there were too few epochs to tell, so nothing is claimed."
)


def markdown(benchmark: Benchmark, results: BenchmarkResults) -> str:
    """The page beside the results and their picture.

    Args:
        benchmark: What was run.
        results: What came of it.
    """
    parts = [
        f"# {benchmark.title}",
        f"`crystal benchmark run {results.name}`",
        *([benchmark.note.strip()] if benchmark.note else []),
        f"![Each row of the tables below; a dot is a seed]({results.name}.svg)",
    ]
    for table in results.tables:
        header, rows = cells(table)
        lines = [f"## {table.spec.title}", "", _line(header), _line(["---"] * len(header))]
        parts.append("\n".join([*lines, *map(_line, rows)]))
    if _has_unconverged(results):
        parts.append(_MARK_MEANS)
    if any(row.gain for table in results.tables for row in table.rows):
        parts.append(f"Intervals of gains are computed from {results.intervals_from}.")
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    parts.append(
        f"All runs took {results.seconds / 3600:.1f} hours together, on a machine with "
        f"{results.cpus} processors. Numbers of each seed and hashes of data and excluded rows: "
        f"`{results.name}.json`. Versions: {versions}."
    )
    return "\n\n".join(parts) + "\n"


def cells(table: ResultTable) -> tuple[list[str], list[list[str]]]:
    """Header and rows of one table as text."""
    axes = list(table.rows[0].variant)
    comparable = len(table.spec.metrics) == 1 < len(table.rows)
    best = table.best if comparable else None
    baseline = "/".join(table.spec.baseline.values())
    header = [*axes, table.label, "seeds"]
    header += [f"gain over {baseline} (95 %)"] if baseline else []
    header += list(table.spec.beside)
    rows = []
    for row in table.rows:
        value = spread(row.mean, float("nan") if row.std is None else row.std)
        if row.unconverged:
            value += f" {UNCONVERGED_MARK}"
        elif row.mean == best:
            value = f"**{value}**"
        num_seeds = len(row.by_seed)
        runs = f" ({row.num_runs} runs)" if row.num_runs > num_seeds else ""
        found = [*row.variant.values(), value, f"{num_seeds}{runs}"]
        found += [_gain(row, table.baseline(row))] if baseline else []
        found += [column.get(row.name, "") for column in table.spec.beside.values()]
        rows.append(found)
    return header, rows


def print_tables(console: Console, results: BenchmarkResults) -> None:
    """Prints every table."""
    for table in results.tables:
        header, rows = cells(table)
        shown = Table(title=table.spec.title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for column in header:
            shown.add_column(column)
        for row in rows:
            shown.add_row(*(cell.replace("**", "") for cell in row))
        console.print()
        console.print(shown)
    if _has_unconverged(results):
        console.print(f"\n{_MARK_MEANS}")


def print_comparison(
    console: Console, recorded: BenchmarkResults, new: BenchmarkResults
) -> list[str]:
    """Prints each new row beside the recorded one.

    Returns:
        Names of the rows that lie outside what the recorded spread allows.
    """
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("table", "row", "recorded", "allowed", "now", ""):
        shown.add_column(column)
    outside = []
    for old, now in zip(recorded.tables, new.tables, strict=True):
        found = {row.name: row for row in now.rows}
        for row in old.rows:
            shown.add_row(old.spec.title, row.name, *_compared(row, found.get(row.name)))
            if row.name in found and not _agrees(row, found[row.name]):
                outside.append(f"{old.spec.title}: {row.name}")
    console.print(shown)
    return outside


def _compared(recorded: Row, new: Row | None) -> Sequence[str]:
    value = spread(recorded.mean, float("nan") if recorded.std is None else recorded.std)
    if new is None:
        return value, "", "not run", ""
    low, high = allowed(recorded, len(new.by_seed))
    now = spread(new.mean, float("nan") if new.std is None else new.std)
    verdict = "agrees" if _agrees(recorded, new) else "[red]differs[/]"
    if recorded.data_hash != new.data_hash:
        verdict = "[red]other data[/]"
    return value, f"{low:.4g} to {high:.4g}", now, verdict


def _agrees(recorded: Row, new: Row) -> bool:
    low, high = allowed(recorded, len(new.by_seed))
    return recorded.data_hash == new.data_hash and low <= new.mean <= high


def _has_unconverged(results: BenchmarkResults) -> bool:
    return any(row.unconverged for table in results.tables for row in table.rows)


def _gain(row: Row, baseline: Row | None) -> str:
    if row.unconverged:
        return "unconverged"
    if baseline is not None and baseline.unconverged:
        return "baseline unconverged"
    if (gain := row.gain) is None:
        return ""
    estimate = f"{100 * gain.estimate:+.1f} %"
    if gain.low is None or gain.high is None:
        return f"{estimate} (no interval below {MIN_SEEDS} seeds)"
    return f"{estimate} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def _line(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"
