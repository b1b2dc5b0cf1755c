"""What every command says that has made crystals."""

import csv
from collections import Counter
from typing import TYPE_CHECKING

from crystal_data.cli.text_table import aligned

if TYPE_CHECKING:
    from crystal_data.generation import GenerationResult

#: What can be done about samples without a crystal, by their first flag.
REMEDIES = {
    "atoms_too_close": "atoms came too near in every try; ask for more samples or another seed",
    "model_without_symmetry": "the model has learned no symmetry; leave the space group open",
    "no_candidate": "nothing known is like it; leave symmetry or z open, or add templates",
    "no_cell": "the model has learned no symmetry and needs a formula and z",
    "no_composition": "give a formula",
    "no_further_candidate": "there are no more different candidates; ask for fewer samples",
    "no_symmetry": "the model needs Wyckoff positions; give them with elements, or templates",
    "no_template": "no further template serves; add templates, or give up symmetry by --fallback",
    "not_placed": "atoms found no place that is far enough from others; ask for more samples",
    "start_does_not_fit": "the start has another composition or space group than the request",
    "start_has_no_symmetry": "no symmetry is found in the start; use a model without symmetry",
}


def report(result: "GenerationResult", num_requests: int) -> None:
    """Prints where the samples are, why some are no crystals, and what can be done about it."""
    print(f"{result.num_samples} samples of {num_requests} requests: {result.folder}")
    if result.num_missing:
        return
    rows = _summary(result)
    reasons = Counter(row["flags"].partition(";")[0] for row in rows if not row["file"])
    if reasons:
        parts = ", ".join(f"{count} {flag}" for flag, count in reasons.most_common())
        print(f"{reasons.total()} without a crystal: {parts}")
        for flag in reasons:
            if flag in REMEDIES:
                print(f"  {flag}: {REMEDIES[flag]}")


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
