"""Several sources as one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

from typing_extensions import override

from crystal_data.errors import InvalidArgumentError, Rejection
from crystal_data.field import TurnsAs
from crystal_data.io.record import Record
from crystal_data.sources.base import CrystalSource, combine_fingerprint

T = TypeVar("T")


class JoinedSource(CrystalSource):
    """The records of several sources, one source after the other, each in its own split.

    A property that a source does not have is missing for its rows. The property ``source`` is the
    name of the source that a record comes from, unless the record has one already. To keep what
    one source tests on out of what another trains on, add ``exclude: [val, test]`` to the data
    module; ``balance: source`` gives every source an equal share of the training.

    Args:
        sources: At least one. A property that several of them have must have one unit.
        labels_apart: Properties of different sources are different properties: each has the name
            of its source behind it, as ``band_gap/mp_20``. A model then has a head for each, which
            labels of other calculations want.
    """

    reading_version: ClassVar[int] = 2

    def __init__(self, sources: Sequence[CrystalSource], *, labels_apart: bool = False) -> None:
        if not sources:
            raise InvalidArgumentError("JoinedSource: give at least one source")
        self.sources = tuple(sources)
        self._labels_apart = labels_apart

    @property
    @override
    def name(self) -> str:
        return "+".join(source.name for source in self.sources)

    @property
    @override
    def units(self) -> dict[str, str]:
        units: dict[str, str] = {}
        for source in self.sources:
            for name, unit in self._renamed(source.units, source).items():
                if units.setdefault(name, unit) != unit:
                    raise InvalidArgumentError(
                        f"JoinedSource: '{name}' is in {unit} in {source.name} and in "
                        f"{units[name]} before",
                        "one of them has to be converted",
                    )
        return units

    @property
    @override
    def turns_as(self) -> dict[str, TurnsAs]:
        found: dict[str, TurnsAs] = {}
        for source in self.sources:
            for name, turns_as in self._renamed(source.turns_as, source).items():
                if found.setdefault(name, turns_as) != turns_as:
                    raise InvalidArgumentError(
                        f"JoinedSource: '{name}' turns as {turns_as} in {source.name} and as "
                        f"{found[name]} before"
                    )
        return found

    @override
    def prepare(self) -> None:
        for source in self.sources:
            source.prepare()

    @override
    def fingerprint(self) -> str:
        return combine_fingerprint(
            self,
            "".join(source.fingerprint() for source in self.sources),
            {"labels_apart": True} if self._labels_apart else {},
        )

    @override
    def records(self) -> Iterator[Record | Rejection]:
        _ = self.units  # raises where two sources do not go together
        for source in self.sources:
            for item in source.records():
                yield item if isinstance(item, Rejection) else self._named(item, source)

    def _named(self, record: Record, source: CrystalSource) -> Record:
        properties = self._renamed(record.properties, source)
        return replace(record, properties={"source": source.name, **properties})

    def _renamed(self, values: Mapping[str, T], source: CrystalSource) -> dict[str, T]:
        """Under the names that the properties of a source have here."""
        if not self._labels_apart:
            return dict(values)
        return {n if n == "source" else f"{n}/{source.name}": v for n, v in values.items()}
