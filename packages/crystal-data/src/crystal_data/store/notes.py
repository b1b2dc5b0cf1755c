"""What had to be decided to read the structures of a store, as a table."""

from pathlib import Path

from crystal_data.io.files import csv_text, write_text
from crystal_data.store.store import CrystalStore

COLUMNS = ("id", "file", "note")


def noted(store: CrystalStore) -> list[tuple[str, str, str]]:
    """Identifier, file and note of each structure that was not read as a matter of course."""
    notes = store.strings("notes")
    identifiers, files = store.strings("identifier"), store.strings("file")
    return [(identifiers[row], files[row], notes[row]) for row in notes.filled().tolist()]


def write_notes(path: Path, store: CrystalStore) -> int:
    """Writes the table, or removes an old one if there is nothing to note; atomic.

    Returns:
        How many rows it has.
    """
    rows = noted(store)
    if rows:
        write_text(path, csv_text(COLUMNS, rows))
    else:
        path.unlink(missing_ok=True)
    return len(rows)
