"""One path for everything, or one for each split."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from crystal_data.errors import InvalidArgumentError, MissingFileError
from crystal_data.io.record import Split


@dataclass(frozen=True, slots=True)
class SplitPaths:
    """Paths as a user gave them, train before val before test."""

    paths: tuple[tuple[Split, Path], ...]

    @classmethod
    def of(
        cls,
        owner: str,
        path: str | Path | None,
        *,
        train: str | Path | None = None,
        val: str | Path | None = None,
        test: str | Path | None = None,
    ) -> Self:
        """Check what was given, without looking at the disk.

        Raises:
            InvalidArgumentError: If there is neither ``path`` nor ``train``, or both.
        """
        by_split: tuple[tuple[Split, str | Path | None], ...] = (
            ("train", train),
            ("val", val),
            ("test", test),
        )
        given: list[tuple[Split, str | Path]] = [(s, p) for s, p in by_split if p is not None]
        if (path is None) == (not given):
            raise InvalidArgumentError(
                f"{owner} takes either path=, or one of train=, val= and test= for each split; "
                f"got path={path!r} and {dict(given)}"
            )
        chosen: list[tuple[Split, str | Path]] = given if path is None else [("", path)]
        return cls(tuple((split, Path(place).expanduser()) for split, place in chosen))

    @property
    def stem(self) -> str:
        """Name of the only path, or of the folder that holds the first one."""
        split, path = self.paths[0]
        path = path.absolute()
        return path.parent.name if split else path.name.split(".")[0]

    def existing(self) -> list[tuple[Split, Path]]:
        """The same paths, all of which exist.

        Raises:
            MissingFileError: If one does not.
        """
        for _, path in self.paths:
            if not path.exists():
                raise MissingFileError(
                    f"{path.absolute()} does not exist; relative paths start at the current folder"
                )
        return list(self.paths)
