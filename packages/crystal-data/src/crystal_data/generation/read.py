"""Generated structures from files, ours or another program's."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crystal_data.crystal import Crystal
from crystal_data.errors import Rejection, SourceError
from crystal_data.generation.layouts import Found, find_structures
from crystal_data.io.options import ReadOptions
from crystal_data.io.parse import parse_records
from crystal_data.io.record import Record
from crystal_data.processes.parallel import map_in_order

# Whoever reads generated structures judges them: nothing is refused for how it looks.
_OPTIONS = ReadOptions(min_distance=0.0, on_formula="note")
_AT_ONCE = 64  # structures that a worker parses
_PATIENCE = 10.0  # seconds, about what workers need to start


@dataclass(frozen=True, slots=True, eq=False)
class GeneratedStructure:
    """One sample of one request.

    Args:
        request: Id of the request.
        sample: Number of the sample, from 0.
        crystal: None where nothing came, or what came cannot be read.
        rank: Place among the samples of the request, from 1, the best first. By the sample's number
            where the files have no ranks.
        score: What the generator thinks of it, more is better; None if it does not say.
        flags: Words about it, such as the reason why there is no crystal.
        file: Where it was read from.
    """

    request: str
    sample: int
    crystal: Crystal | None
    rank: int
    score: float | None
    flags: tuple[str, ...]
    file: str


def read_generated(
    path: str | Path, *, requests: Collection[str] = (), num_workers: int | None = None
) -> list[GeneratedStructure]:
    """Read generated structures, whichever program wrote them.

    - A folder that :class:`StructureWriter` or ``write_crystals`` wrote, by its ``summary.csv``.
    - A folder of structure files. ``NAME_7.cif`` is sample 7 of the request ``NAME``, and so is
      ``NAME/7.cif``; a name without a number is a request with one sample.
    - One file with many structures (extended XYZ, JSON, CIF), by the names of its structures; those
      without a name are samples of one request, called as the file.
    - A table (CSV, Parquet, JSON Lines) with a column of structures, such as ``cif`` or
      ``structure``; the columns ``request`` (or an identifier), ``sample``, ``rank`` and ``score``
      are read where they are there. Rows of one request without numbers are its samples in turn.
    - A ``.pt`` file of CDVAE or DiffCSP: crystal ``i`` is the request ``"i"``, run ``k`` is its
      sample ``k``.

    What cannot be read stays in the list, without a crystal, with the reason as a flag.

    Args:
        path: A file or folder.
        requests: Ids that are known, so that ``mp_149`` is not taken for sample 149 of ``mp``.
        num_workers: Processes; None takes several where it turns out to be long.

    Returns:
        Samples by request, in the order in which the requests come up, and by number.

    Raises:
        SourceError: If there is nothing to read, or two structures are the same sample.
    """
    path = existing(path)
    found = _numbered(find_structures(path, frozenset(requests)))
    if not found:
        raise SourceError(f"{path} holds no structures: CIF, POSCAR, extended XYZ, JSON or a table")
    return _ranked(list(_parsed(found, num_workers)))


def existing(path: str | Path) -> Path:
    """A path, with ``~`` for the home folder.

    Raises:
        SourceError: If there is nothing.
    """
    found = Path(path).expanduser()
    if not found.exists():
        raise SourceError(f"there is no file or folder {found}; give one with generated structures")
    return found


def _numbered(found: Iterable[Found]) -> list[Found]:
    """By request and number; samples without a number get the next one of their request."""
    by_request: dict[str, dict[int, Found]] = {}
    following = Counter[str]()
    for one in found:
        samples = by_request.setdefault(one.request, {})
        sample = following[one.request] if one.sample is None else one.sample
        following[one.request] = max(following[one.request], sample + 1)
        if sample in samples:
            raise SourceError(
                f"{samples[sample].file} and {one.file} are both sample {sample} of request "
                f"'{one.request}'; name files REQUEST_SAMPLE, with distinct numbers"
            )
        samples[sample] = replace(one, sample=sample)
    return [samples[number] for samples in by_request.values() for number in sorted(samples)]


def _parsed(
    found: Sequence[Found], num_workers: int | None
) -> Iterator[tuple[Found, Crystal | Rejection | None]]:
    chunks = (found[i : i + _AT_ONCE] for i in range(0, len(found), _AT_ONCE))
    results = map_in_order(_parse, chunks, _records, num_workers=num_workers, patience=_PATIENCE)
    for chunk, parsed in results:
        crystals = iter(parsed)
        for one in chunk:
            yield one, None if one.record is None else next(crystals)


def _records(chunk: Sequence[Found]) -> list[Record | Rejection]:
    return [one.record for one in chunk if one.record is not None]


def _parse(records: Sequence[Record | Rejection]) -> list[Crystal | Rejection]:
    return parse_records(records, _OPTIONS)


def _ranked(parsed: Sequence[tuple[Found, Crystal | Rejection | None]]) -> list[GeneratedStructure]:
    """Those without a rank are ranked by their number, behind those that have one."""
    last = Counter[str]()
    for one, _ in parsed:
        last[one.request] = max(last[one.request], one.rank or 0)
    structures = []
    for one, result in parsed:
        last[one.request] += one.rank is None
        reason = (str(result.reason),) if isinstance(result, Rejection) else ()
        structures.append(
            GeneratedStructure(
                request=one.request,
                sample=one.sample or 0,
                crystal=result if isinstance(result, Crystal) else None,
                rank=last[one.request] if one.rank is None else one.rank,
                score=one.score,
                flags=tuple(dict.fromkeys((*one.flags, *reason))),
                file=one.file,
            )
        )
    return structures
