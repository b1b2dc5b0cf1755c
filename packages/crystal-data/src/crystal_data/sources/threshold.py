"""A source with a class label more: whether a property is at most a threshold."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from typing_extensions import override

from crystal_data.errors import InvalidArgumentError, Rejection
from crystal_data.field import TurnsAs
from crystal_data.io.record import Record
from crystal_data.sources.base import CrystalSource, combine_fingerprint


class ThresholdSource(CrystalSource):
    """Adds a property that is 1 where another is at most a threshold, and 0 where it is above.

    Where the other is missing it is missing too. Such as ``stable``, of the energy above the hull,
    for ``crystal_data.training.ClassificationModule``.

    Args:
        source: Where the crystals come from.
        column: The other property, a number.
        threshold: In its unit.
        name: Of the new property.

    Raises:
        InvalidArgumentError: When records are read, if the column is no number of each crystal or
            the source has a property of the new name.
    """

    def __init__(self, source: CrystalSource, column: str, threshold: float, name: str) -> None:
        self.source = source
        self._column, self._threshold, self._label = column, threshold, name

    @property
    @override
    def name(self) -> str:
        return self.source.name

    @property
    @override
    def units(self) -> dict[str, str]:
        return {**self.source.units, self._label: "1"}

    @property
    @override
    def turns_as(self) -> dict[str, TurnsAs]:
        return self.source.turns_as

    @override
    def prepare(self) -> None:
        self.source.prepare()

    @override
    def fingerprint(self) -> str:
        options = {"column": self._column, "threshold": self._threshold, "name": self._label}
        return combine_fingerprint(self, self.source.fingerprint(), options)

    @override
    def records(self) -> Iterator[Record | Rejection]:
        for item in self.source.records():
            yield item if isinstance(item, Rejection) else self._labelled(item)

    def _labelled(self, record: Record) -> Record:
        properties: dict[str, Any] = dict(record.properties)
        if self._label in properties:
            raise InvalidArgumentError(f"{self.name} has a column '{self._label}' already")
        value = properties.get(self._column)
        if value is not None and not isinstance(value, int | float):
            raise InvalidArgumentError(
                f"{record.identifier}: '{self._column}' is {value!r:.50}, not a number"
            )
        if value is None or not math.isfinite(value):
            properties[self._label] = math.nan
        else:
            properties[self._label] = float(value <= self._threshold)
        return replace(record, properties=properties)
