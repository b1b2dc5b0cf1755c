"""The ``.pt`` files in which CDVAE, DiffCSP and their relatives keep generated structures."""

import pickle
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_data.crystal import Crystal, lattice_from_parameters
from crystal_data.errors import InvalidCrystalError, Reason, Rejection, SourceError
from crystal_data.io.record import Record

if TYPE_CHECKING:
    from torch import Tensor

_KEYS = ("frac_coords", "num_atoms", "atom_types", "lengths", "angles")


def is_pt_file(path: Path) -> bool:
    """Whether the name is that of a file of torch."""
    return path.suffix.lower() in (".pt", ".pth")


def records_of_pt(path: Path) -> Iterator[tuple[str, int, Record | Rejection]]:
    """Request, sample and structure of each crystal of each run.

    The file is a dict of tensors, whose first axis is the run; it may be missing where there is
    one run. ``frac_coords`` is ``[runs, atoms, 3]``, ``atom_types`` (atomic numbers)
    ``[runs, atoms]``, ``num_atoms`` ``[runs, crystals]``, ``lengths`` in Å and ``angles`` in
    degrees ``[runs, crystals, 3]``. No code of the file is run.

    Raises:
        SourceError: If it is not such a file.
    """
    arrays = _with_runs(_loaded(path), path)
    for run in range(len(arrays["num_atoms"])):
        end = 0
        for place, count in enumerate(arrays["num_atoms"][run].tolist()):
            start, end = end, end + int(count)
            crystal = _record(
                str(place),
                arrays["lengths"][run, place],
                arrays["angles"][run, place],
                arrays["frac_coords"][run, start:end],
                arrays["atom_types"][run, start:end],
                path,
            )
            yield str(place), run, crystal


def _loaded(path: Path) -> dict[str, Any]:
    import torch

    try:
        # CDVAE keeps the command's options beside the tensors: plain values.
        with torch.serialization.safe_globals([Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise SourceError(
            f"{path} is damaged, or holds more than tensors and plain values, such as the "
            "input_data_batch of CDVAE, which could run code; where it was made, save a dict of "
            f"{', '.join(_KEYS)} alone"
        ) from error
    if not isinstance(content, dict) or not set(_KEYS) <= content.keys():
        has = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise SourceError(f"{path} holds {has}; expected a dict with {', '.join(_KEYS)}")
    return content


def _with_runs(content: dict[str, Any], path: Path) -> "dict[str, Tensor]":
    import torch

    axes = {"frac_coords": 3, "num_atoms": 2, "atom_types": 2, "lengths": 3, "angles": 3}
    arrays: dict[str, Tensor] = {}
    for key in _KEYS:
        value = content[key]
        if isinstance(value, list):  # a tensor for each run
            value = torch.stack(value)
        if value.ndim == axes[key] - 1:
            value = value[None]
        arrays[key] = value
    runs, crystals = arrays["num_atoms"].shape[:2]
    totals = arrays["num_atoms"].sum(1).tolist()
    fits = (
        all(value.ndim == axes[key] for key, value in arrays.items())
        and arrays["lengths"].shape == arrays["angles"].shape == (runs, crystals, 3)
        and all(total == arrays["atom_types"].shape[1] for total in totals)
        and arrays["frac_coords"].shape == (runs, *arrays["atom_types"].shape[1:], 3)
    )
    if not fits:
        shapes = ", ".join(f"{key} {tuple(value.shape)}" for key, value in arrays.items())
        raise SourceError(f"{path}: the shapes do not fit each other: {shapes}")
    return arrays


def _record(
    name: str, lengths: "Tensor", angles: "Tensor", coords: "Tensor", numbers: "Tensor", path: Path
) -> Record | Rejection:
    try:
        lattice = lattice_from_parameters(lengths.tolist(), angles.tolist())
        crystal = Crystal(lattice, coords.double().numpy(), numbers.long().numpy(), name)
    except InvalidCrystalError as error:
        return Rejection(name, str(path), "read", error.reason, error.detail)
    except ValueError as error:
        return Rejection(name, str(path), "read", Reason.BAD_CELL, str(error))
    return Record(name, crystal, "crystal", file=str(path))
