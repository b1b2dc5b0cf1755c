"""`crystal-embed embed`: the vectors that a model has for atoms or crystals."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import report_errors
from crystal_embed.shipped import SHIPPED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crystal_data.artifacts import PretrainedModel
    from crystal_data.store import CrystalStore

_SUFFIXES = (".csv", ".npz", ".safetensors")


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        "crystal-embed embed",
        description="Write one vector for each atom or each crystal. The vectors of elements are "
        "what `crystal-embed export-table` writes.",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="INPUT",
        help="files, folders, patterns, or tables of structures",
    )
    parser.add_argument("--input", action="append", default=[], help="the same, as an option")
    parser.add_argument(
        "--model", required=True, help="name of a model, or folder of an artifact or run"
    )
    parser.add_argument(
        "--what",
        required=True,
        choices=("atoms", "crystals"),
        help="atoms: after the last layer on them; crystals: before the output head",
    )
    parser.add_argument("--output", required=True, type=Path, help="file: .csv, .npz, .safetensors")
    parser.add_argument(
        "--batch-size", type=int, default=64, help="structures at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-package",
        metavar="NAME",
        help="installed package outside ours whose model may be loaded; its code runs",
    )
    arguments = parser.parse_args(argv)
    paths = [*arguments.paths, *arguments.input]
    if not paths:
        parser.error("give structures: a file, folder, pattern or table")
    if arguments.output.suffix not in _SUFFIXES:
        parser.error(f"--output ends in {', '.join(_SUFFIXES)}, not as {arguments.output.name}")
    if arguments.batch_size < 1:
        parser.error("--batch-size is at least 1")

    from crystal_data.artifacts import PretrainedModel

    encoder = PretrainedModel.from_pretrained(
        SHIPPED.find(arguments.model), allow_package=arguments.allow_package
    )
    _embed(paths, encoder.eval(), arguments.what, arguments.output, arguments.batch_size)
    return 0


def _embed(
    paths: Sequence[str], encoder: "PretrainedModel", what: str, output: Path, batch_size: int
) -> None:
    from crystal_data.io import REJECTED, read_rejected, write_rejected_if_any
    from crystal_data.loading import rejected_elements, unsupported
    from crystal_data.sources import PathsSource
    from crystal_data.store import InvalidSourceError, open_store

    rejected_path = output.parent / REJECTED
    try:
        store = open_store(PathsSource(paths), on_invalid="skip")
    except InvalidSourceError as error:
        write_rejected_if_any(rejected_path, read_rejected(error.rejected_path))
        raise
    refused = rejected_elements(store, encoder.supported_elements)
    rejected = [] if store.path is None else read_rejected(store.path / REJECTED)
    if count := write_rejected_if_any(rejected_path, rejected + refused):
        print(f"{count} rejected: {rejected_path}", file=sys.stderr)
    others = list(unsupported(store, encoder.supported_elements))
    rows = np.setdiff1d(np.arange(len(store)), others)
    if not len(rows):
        raise InvalidArgumentError(f"the model cannot take any of the structures; see {REJECTED}")
    vectors = encode_store(encoder, store, what, batch_size, rows)
    _WRITERS[output.suffix](output, _labels(store, what, rows), vectors)
    print(f"{len(vectors)} {what}, {vectors.shape[1]} numbers each: {output}", file=sys.stderr)


def encode_store(
    model: "PretrainedModel",
    store: "CrystalStore",
    what: str,
    batch_size: int,
    rows: "NDArray[np.int64]",
) -> "NDArray[np.float32]":
    """Vectors of atoms or crystals, in the order of the store.

    Args:
        model: In evaluation; one that is an ``Encoder``.
        store: The crystals.
        what: ``atoms`` or ``crystals``.
        batch_size: Crystals at a time.
        rows: Rows of the store.

    Returns:
        Shape ``[num_atoms, width]`` or ``[num_crystals, width]``.

    Raises:
        InvalidArgumentError: If the model has no such vectors.
    """
    import torch

    from crystal_data.store import EdgeColumn
    from crystal_embed.models.base import Encoder

    graph_spec = model.graph_spec
    if not isinstance(model, Encoder):
        raise InvalidArgumentError(f"a {type(model).__name__} has no vectors of atoms and crystals")
    if graph_spec is not None:
        store.add_column(EdgeColumn(graph_spec))
    encode = model.encode_atoms if what == "atoms" else model.encode
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            batch = store.batch(part, graph_spec=graph_spec).float32()
            parts.append(encode(batch).float().numpy())
    return np.concatenate(parts)


def _labels(store: "CrystalStore", what: str, rows: "NDArray[np.int64]") -> dict[str, Any]:
    """What stands beside each vector: crystal, and for an atom its place and element."""
    from crystal_data import SYMBOLS

    identifiers = list(store.strings("identifier").take(rows))
    if what == "crystals":
        return {"id": identifiers}
    counts = store.num_atoms[rows]
    is_chosen = np.repeat(np.isin(np.arange(len(store)), rows), store.num_atoms)
    numbers = np.asarray(store.column("atomic_numbers"))[is_chosen]
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return {
        "id": np.repeat(np.array(identifiers, dtype=object), counts).tolist(),
        "atom": (np.arange(counts.sum()) - first).tolist(),
        "element": [SYMBOLS[z] for z in numbers.tolist()],
    }


def _write_csv(path: Path, labels: dict[str, Any], vectors: "NDArray[np.float32]") -> None:
    from crystal_data.io import csv_text, write_text

    numbers = ([f"{value:.9g}" for value in row] for row in vectors.tolist())
    rows = (
        [*label, *row]
        for label, row in zip(zip(*labels.values(), strict=True), numbers, strict=True)
    )
    write_text(path, csv_text([*labels, *map(str, range(vectors.shape[1]))], rows))


def _write_npz(path: Path, labels: dict[str, Any], vectors: "NDArray[np.float32]") -> None:
    from crystal_data.io import atomic_path

    # Strings of one length each, which numpy reads without unpickling.
    arrays: dict[str, Any] = {name: np.array(label) for name, label in labels.items()}
    with atomic_path(path) as draft, draft.open("wb") as file:
        np.savez(file, vectors=vectors, **arrays)


def _write_safetensors(path: Path, labels: dict[str, Any], vectors: "NDArray[np.float32]") -> None:
    from safetensors.numpy import save

    from crystal_data.io import atomic_path

    header = {name: json.dumps(label) for name, label in labels.items()}
    with atomic_path(path) as draft:
        draft.write_bytes(save({"vectors": vectors}, metadata=header))


_WRITERS = {".csv": _write_csv, ".npz": _write_npz, ".safetensors": _write_safetensors}
