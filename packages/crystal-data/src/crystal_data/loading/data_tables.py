"""Tables about the data of a run: what was left out, and what had to be decided to read it."""

from crystal_data.io.files import write_text
from crystal_data.io.rejected import REJECTED, read_rejected, write_rejected_if_any
from crystal_data.loading.collate import rejected_by
from crystal_data.loading.domain import rejected_elements
from crystal_data.loading.needs import BatchNeeds
from crystal_data.run_folder import RunFolder
from crystal_data.splits.exclusion import Exclusion
from crystal_data.store.notes import write_notes
from crystal_data.store.store import CrystalStore


def write_data_tables(
    run: RunFolder, store: CrystalStore, needs: BatchNeeds, exclusion: Exclusion, stage: str | None
) -> None:
    """Writes the tables that have rows, and removes those of earlier data that have none now.

    Args:
        run: Where.
        store: The data.
        needs: What the module asks of batches.
        exclusion: What was left out of training.
        stage: Of the Trainer.
    """
    # What is predicted may be other data than the run's own, whose tables have to stay.
    tables = run.predicted_data_tables if stage == "predict" else run.data_tables
    tables.folder.mkdir(parents=True, exist_ok=True)
    if store.path is not None:
        rejected = read_rejected(store.path / REJECTED)
        rejected += rejected_by(store, needs.collator).values()
        if stage == "predict":
            rejected += rejected_elements(store, needs.supported_elements)
        write_rejected_if_any(tables.rejected, rejected)
    write_notes(tables.notes, store)
    if exclusion.table:
        write_text(tables.excluded, exclusion.table)
    elif stage == "fit":
        tables.excluded.unlink(missing_ok=True)
