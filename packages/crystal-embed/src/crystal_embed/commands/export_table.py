"""`crystal-embed export-table`: an element table as files that other projects read."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import report_errors
from crystal_embed.tables.files import SUFFIXES, TableForm, save_table
from crystal_embed.tables.load import load_table
from crystal_embed.tables.table import ElementTable

# What a folder gets: one file for each form.
_FILES: dict[str, TableForm] = {
    "atom_init.json": "atom_init",
    "symbols.json": "symbols",
    "table.csv": "csv",
    "table.safetensors": "safetensors",
}


def export_table(
    table: ElementTable, output: str | Path, form: TableForm | None = None
) -> list[Path]:
    """Writes one file, or a folder with a file for each form.

    Args:
        table: What to write.
        output: A file that ends in .json, .csv or .safetensors; else a folder.
        form: For one file, where the suffix leaves a choice.

    Returns:
        The files.

    Raises:
        InvalidArgumentError: If a form is given for a folder.
    """
    output = Path(output)
    if output.suffix in SUFFIXES:
        return [save_table(table, output, form)]
    if form is not None:
        raise InvalidArgumentError(
            f"{output}: a folder gets every form", "give --form only with a file name"
        )
    return [save_table(table, output / name, chosen) for name, chosen in _FILES.items()]


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser("crystal-embed export-table", description=__doc__)
    parser.add_argument(
        "source",
        help="an artifact or a run's folder, a hub id, a table file, or a name such as atom_init",
    )
    parser.add_argument(
        "--output", required=True, help="file (.json, .csv, .safetensors), or folder for all forms"
    )
    parser.add_argument(
        "--form",
        choices=get_args(TableForm),
        help="how to write a .json: by atomic number as CGCNN reads it (atom_init, the default), "
        "or by symbol (symbols)",
    )
    arguments = parser.parse_args(argv)
    table = load_table(arguments.source)
    paths = export_table(table, arguments.output, arguments.form)
    print(f"{table.name}: {len(table)} elements, {table.width} numbers each")
    if random := table.metadata.get("random_elements"):
        print(f"random rows, never seen in training: {' '.join(random)}")
    for path in paths:
        print(path)
    return 0
