"""The files of a finished generation, from its rows."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.generation.shards import Row
from crystal_data.io.ase import to_extxyz
from crystal_data.io.cif import to_cif
from crystal_data.io.files import atomic_folder, atomic_path, csv_text, write_text
from crystal_data.io.write import distinct_names, safe_name
from crystal_data.symmetry import SymmetryError

SUMMARY = "summary.csv"
SYMMETRIZED = "symmetrized"  # folder of CIF files with the symmetry that was found
SHARDS = "shards"  # rows that are not merged yet
ROWS = "samples.jsonl"
COLUMNS = (
    "request",
    "sample",
    "rank",
    "score",
    "file",
    "formula",
    "space_group_number",
    "source",
    "flags",
    "probability",
    "why",
)


def write_merged(
    folder: Path, rows: Sequence[Row], about: Mapping[str, Any], symprec: float
) -> None:
    """Write all files, each whole or not at all, ``summary.csv`` last.

    Args:
        folder: What stands there under these names is replaced.
        rows: In the order of requests and samples.
        about: Content of ``generation.json``.
        symprec: Tolerance at which the rows' groups were found, Å.
    """
    ranked = _ranked(rows)
    files = _files(rows)
    crystals = {row: _named(row, rank) for row, rank in ranked if row.made.crystal is not None}
    (folder / SUMMARY).unlink(missing_ok=True)
    with atomic_folder(folder / "cif") as plain, atomic_folder(folder / SYMMETRIZED) as symmetric:
        for row, crystal in crystals.items():
            _write(plain / files[row], to_cif(crystal))
            with suppress(SymmetryError):  # where none is found, the summary has no group either
                _write(symmetric / files[row], to_cif(crystal, symprec))
    write_text(folder / "structures.extxyz", to_extxyz(crystals.values()))
    with atomic_path(folder / ROWS) as temporary:
        temporary.write_bytes(b"".join(row.to_line() for row in rows))
    text = json.dumps({"format_version": 1, **about}, ensure_ascii=False, indent=1)
    write_text(folder / "generation.json", f"{text}\n")
    write_text(folder / SUMMARY, csv_text(COLUMNS, [_cells(*x, files) for x in ranked]))


def _write(path: Path, text: str) -> None:
    # The folder comes to its place as a whole, so its files need not.
    path.write_text(text, encoding="utf-8", newline="\n")


def _ranked(rows: Sequence[Row]) -> list[tuple[Row, int]]:
    """By request, the best first: by score, then those without, then those without a crystal."""
    place = {request: i for i, request in enumerate(dict.fromkeys(row.request for row in rows))}

    def order(row: Row) -> tuple[int, bool, bool, float, int]:
        score = row.made.score
        return (
            place[row.request],
            row.made.crystal is None,
            score is None,
            -(score or 0.0),
            row.sample,
        )

    ranked: list[tuple[Row, int]] = []
    for row in sorted(rows, key=order):
        is_next = bool(ranked) and ranked[-1][0].request == row.request
        ranked.append((row, ranked[-1][1] + 1 if is_next else 1))
    return ranked


def _files(rows: Sequence[Row]) -> dict[Row, str]:
    """Name of each sample's CIF, by request and number, that every system takes."""
    requests = list(dict.fromkeys(row.request for row in rows))
    names = distinct_names([safe_name(request) for request in requests], fold=True)
    stems = dict(zip(requests, names, strict=True))
    return {row: f"{stems[row.request]}_{row.sample}.cif" for row in rows}


def _named(row: Row, rank: int) -> Crystal:
    crystal = row.made.crystal
    if crystal is None:
        raise InvalidArgumentError(f"sample {row.sample} of request '{row.request}' has no crystal")
    about = {"request": row.request, "sample": row.sample, "rank": rank, "score": row.made.score}
    said = {name: value for name, value in about.items() if value is not None}
    return crystal.replace(
        identifier=f"{row.request}_{row.sample}", properties={**crystal.properties, **said}
    )


def _cells(row: Row, rank: int, files: Mapping[Row, str]) -> tuple[Any, ...]:
    made = row.made
    return (
        row.request,
        row.sample,
        rank,
        "" if made.score is None else repr(float(made.score)),
        f"cif/{files[row]}" if made.crystal is not None else "",
        made.crystal.formula if made.crystal is not None else "",
        "" if row.space_group_number is None else row.space_group_number,
        made.source,
        ";".join(made.flags),
        "" if made.probability is None else repr(float(made.probability)),
        made.why,
    )
