"""What every command says that has made crystals."""

import csv
from collections import Counter
from typing import TYPE_CHECKING

from crystal_data.cli.text_table import aligned

if TYPE_CHECKING:
    from crystal_data.generation import GenerationResult


def report(result: "GenerationResult", num_requests: int) -> None:
    """Prints where the samples are, and why some are no crystals."""
    print(f"{result.num_samples} samples of {num_requests} requests: {result.folder}")
    if result.num_missing:
        return
    rows = _summary(result)
    reasons = Counter(row["flags"].partition(";")[0] for row in rows if not row["file"])
    if reasons:
        parts = ", ".join(f"{count} {flag}" for flag, count in reasons.most_common())
        print(f"{reasons.total()} without a crystal: {parts}")


def report_why(result: "GenerationResult") -> None:
    """Prints a table of candidates with their probabilities, and where they come from."""
    table = [("rank", "probability", "file", "why")]
    for row in _summary(result):
        if row["file"]:
            chance = f"{100 * float(row['probability']):.1f} %" if row["probability"] else ""
            table.append((row["rank"], chance, row["file"], row["why"] or row["source"]))
    print("\n".join(aligned(table)))


def _summary(result: "GenerationResult") -> list[dict[str, str]]:
    with (result.folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
