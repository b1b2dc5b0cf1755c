"""What every command says that has made crystals."""

import csv
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystal_data.generation import GenerationResult


def report(result: "GenerationResult", num_requests: int) -> None:
    """Prints where the samples are, and why some are no crystals."""
    print(f"{result.num_samples} samples of {num_requests} requests: {result.folder}")
    if result.num_missing:
        return
    with (result.folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    reasons = Counter(row["flags"].partition(";")[0] for row in rows if not row["file"])
    if reasons:
        parts = ", ".join(f"{count} {flag}" for flag, count in reasons.most_common())
        print(f"{reasons.total()} without a crystal: {parts}")
