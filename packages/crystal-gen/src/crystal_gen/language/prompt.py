"""The text of a question."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, isnan

from crystal_data.elements import ELECTRONEGATIVITY, SYMBOLS
from crystal_gen.templates.mendeleev import MENDELEEV_NUMBERS
from crystal_gen.wyckoff.elements import period_and_group
from crystal_gen.wyckoff.questions import SymmetryQuestion

#: The last line, after which the answer begins.
REQUEST = "Space group and Wyckoff positions:\n"


@dataclass(frozen=True)
class Prompt:
    """Writes questions as text: a line for each element, and for each property that is wished.

    A z or a space group that is asked stands in the answer (``AnswerGrammar``).

    Args:
        properties: Name of each wish of a question, and its unit (empty for none), in their order.
        uses_element_properties: Elements have period, group, electronegativity and Mendeleev
            number; False is an ablation.
    """

    properties: Mapping[str, str] = field(default_factory=dict)
    uses_element_properties: bool = True

    def text(self, question: SymmetryQuestion) -> str:
        """The question.

        Args:
            question: With one wish for each property, NaN for none; or without any.
        """
        lines = [
            f"{SYMBOLS[element]} {count}{self._described(element)}"
            for element, count in zip(question.elements, question.counts, strict=True)
        ]
        # A question without wishes has none of any property.
        for (name, unit), value in zip(self.properties.items(), question.wishes, strict=False):
            if not isnan(value):
                lines.append(f"{name} {value:.3g} {unit}".rstrip())
        return "".join(f"{line}\n" for line in lines) + REQUEST

    def _described(self, element: int) -> str:
        if not self.uses_element_properties:
            return ""
        period, group = period_and_group(element)
        words = f" period {period}" + (f" group {group}" if group else " f-block")
        electronegativity = ELECTRONEGATIVITY[SYMBOLS[element]]
        # Some elements have no value; in the table it is infinite.
        if isfinite(electronegativity):
            words += f" electronegativity {electronegativity:.2f}"
        return f"{words} Mendeleev {int(MENDELEEV_NUMBERS[element])}"
