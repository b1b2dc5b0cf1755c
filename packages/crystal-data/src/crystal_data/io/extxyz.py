"""Frames of an extended XYZ text; their counts are checked before ASE makes room for them."""

from collections.abc import Iterator
from io import StringIO
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from crystal_data.errors import InvalidCrystalError, Reason

if TYPE_CHECKING:
    from ase import Atoms

_MOST_DIGITS = 12  # of a count; Python itself refuses to read thousands of them


def read_extxyz(text: str, identifier: str = "") -> list["Atoms"]:
    """The frames of an extended XYZ text.

    Raises:
        InvalidCrystalError: ``EMPTY``, ``NO_ATOMS`` or ``UNREADABLE``, for the first frame that
            cannot be read.
    """
    frames: list[Atoms] = []
    for frame in iter_frames(text, identifier):
        if isinstance(frame, InvalidCrystalError):
            raise frame
        frames.append(frame)
    return frames


def iter_frames(text: str, identifier: str = "") -> Iterator["Atoms | InvalidCrystalError"]:
    """The frames of an extended XYZ text, each as ASE reads it or as why it cannot.

    A frame that cannot be read does not stop those behind it, unless its count is wrong, so that
    nobody knows where the next one begins.
    """
    lines = text.splitlines()
    if not text.strip():
        yield InvalidCrystalError(identifier, Reason.EMPTY, "the file is empty")
        return
    first = 0
    while first < len(lines):
        if not lines[first].strip():
            first += 1
            continue
        try:
            end = _end_of_frame(lines, first, identifier)
        except InvalidCrystalError as error:
            yield error
            return
        yield _read_frame(lines[first:end], first, identifier)
        first = end


def _end_of_frame(lines: list[str], first: int, identifier: str) -> int:
    count = lines[first].strip()
    if not count.isdecimal() or len(count) > _MOST_DIGITS:
        detail = f"not extended XYZ: line {first + 1} is {count[:40]!r}, a number of atoms expected"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    end = first + 2 + int(count)
    if end > len(lines):
        left = max(len(lines) - first - 2, 0)
        detail = f"line {first + 1} counts {count} atoms, but {left} lines of atoms follow"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    # Some programs write the cell behind the atoms.
    return end + sum(1 for _ in takewhile(_is_cell_vector, lines[end : end + 4]))


def _is_cell_vector(line: str) -> bool:
    return line.lstrip().startswith("VEC")


def _read_frame(lines: list[str], first: int, identifier: str) -> "Atoms | InvalidCrystalError":
    from ase.io.extxyz import key_val_str_to_dict, read_extxyz

    if lines[0].strip("0 \t") == "":
        return InvalidCrystalError(identifier, Reason.NO_ATOMS, "there are no atoms")
    width = len(lines[2].split())

    def values_of(comment: str) -> dict[str, Any]:
        values: dict[str, Any] = key_val_str_to_dict(comment)
        columns = [int(x) for x in str(values.get("Properties", "")).split(":")[2::3]]
        if sum(columns) > width or min(columns, default=1) < 1:
            raise ValueError(f"Properties names {sum(columns)} columns, the first atom has {width}")
        return values

    try:
        # The parser gives a generator, which would fail at the caller's.
        (frame,) = read_extxyz(StringIO("\n".join(lines)), slice(None), values_of)
    except Exception as error:  # ASE raises what its parser happens to trip over
        place = f"the frame of line {first + 1} is not extended XYZ"
        detail = f"{place}: {type(error).__name__}: {error}"
        return InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    return frame
