"""Puts measured numbers into the texts from ``benchmarks/results``; lists those without a record.

    python scripts/measured.py            # rewrites numbers that differ from their records
    python scripts/measured.py --check    # only says so

A comment below a paragraph, list or table says where its numbers come from:

    <!-- numbers
    from embeddings-labels.json .tables[0]
    0.128 = .rows[rows=500,start=unsupervised].mean
    28.7 % less (13.5 to 43.9) = .rows[rows=500,start=unsupervised].gain * 100
    0.05 Å is a setting
    -->

``from`` names the record and, if one likes, a path in it that all others start from. Left of ``=``
stands a piece of the text, in the order of the text; right of it where its numbers are, as
``records.py`` says. Decimals and signs are written as the text has them. Of a value with its
interval, three numbers, a text may show the first, the last two, or all.

For a table ``columns`` has an expression for each column of the rows that follow, in which ``{}``
stands for what ``row`` says of one (``row -``: no numbers); columns and cells may be empty:

    <!-- numbers
    from structures.json
    columns | | {}.match_rate * 100 | {}.rmse
    row .retrieval
    row ."crystal-dit: noise"
    -->

Numbers that nobody measured here are named with a reason: ``a setting``, ``an example``,
``a definition``, or ``published (SOURCE)``.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from records import NumbersError, evaluate, follow, read

ROOT = Path(__file__).resolve().parents[1]
NUMBER = re.compile(r"(?<![\w.,−-])[+−-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[−-]?\d+)?(?!\w|[.,]\d)")
COMMENT = re.compile(r"<!-- numbers\n(.*?)-->", re.DOTALL)
REASON = re.compile(r"(.+) is (a setting|an example|a definition|published \(.+\))")
HIDDEN = re.compile(r"^```.*?^```|<!--.*?-->|`[^`\n]+`|\]\([^)]*\)", re.DOTALL | re.MULTILINE)
UNITS = r"%|times\b(?! as many)|points\b|m?eV\b|m?s\b|seconds\b|[a-z]+/s\b|MB\b|± |\(−?[\d.]+ to "
MEASURED = re.compile(
    rf"{NUMBER.pattern}(?= ?(?:{UNITS}))|(?<![\w.])\d+\.\d\d\d+(?![\d.])|"
    rf"(?:(?<=\()|(?<=interval )){NUMBER.pattern} to {NUMBER.pattern}"
)
NO_FINDING = re.compile(r"\b95 %(?=\s+interval|\))|\barXiv [\d.]+")


@dataclass
class Page:
    """A text, what is to be changed in it, and which parts of it have an origin.

    Args:
        text: As it is.
        visible: The same with blanks for code, comments and addresses of links.
        edits: Start and end of a piece, and what stands there from now on.
        explained: Start and end of pieces whose numbers have a record or a reason.
    """

    text: str
    visible: str
    edits: list[tuple[int, int, str]] = field(default_factory=list)
    explained: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, text: str) -> "Page":
        """A page whose comments have been followed.

        Raises:
            NumbersError: If a comment cannot be followed.
        """
        page = cls(text, HIDDEN.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text))
        end = 0
        for comment in COMMENT.finditer(text):
            start = max(end, page.visible.rfind("\n#", 0, comment.start()))
            try:
                _follow_comment(page, comment, start)
            except NumbersError as error:
                line = text.count("\n", 0, comment.start()) + 1
                raise NumbersError(f"comment in line {line}: {error}") from error
            end = comment.end()
        return page

    def rewritten(self) -> str:
        """The text with all edits."""
        text = self.text
        for start, end, new in sorted(set(self.edits), reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def without_record(self) -> Iterator[tuple[int, str]]:
        """Line number and number of what looks measured and has neither record nor reason."""
        left = self.visible
        for start, end in self.explained:
            left = left[:start] + re.sub(r"[^\n]", "\0", left[start:end]) + left[end:]
        left = NO_FINDING.sub(lambda found: re.sub(r"[^\n]", "\0", found[0]), left)
        for number, line in enumerate(left.split("\n"), start=1):
            decimals = NUMBER.finditer(line) if line.startswith("|") else ()
            found = {each.start() for each in decimals if "." in each[0]}
            for start in sorted(found | {each.start() for each in MEASURED.finditer(line)}):
                yield number, line[start : start + 20].strip().replace("\0", "#")

    def put(self, start: int, end: int, values: NDArray[np.float64], source: str) -> str:
        """Notes the numbers of a piece of the text, and returns the piece as it should be."""
        numbers = list(NUMBER.finditer(self.text, start, end))
        piece = self.text[start:end]
        values = _shown(values, len(numbers), f"{piece!r} = {source}")
        for found, value in reversed(list(zip(numbers, values, strict=True))):
            new = printed(float(value), found[0])
            self.edits.append((*found.span(), new))
            piece = piece[: found.start() - start] + new + piece[found.end() - start :]
        self.explained.append((start, end))
        return piece


def printed(value: float, like: str) -> str:
    """A value with the decimals, separators and sign of an earlier one."""
    mantissa, _, exponent = like.lstrip("+−-").partition("e")
    digits = len(mantissa.partition(".")[2])
    if exponent:
        text = re.sub(r"e([+-])0*", r"e\1", f"{abs(value):.{digits}e}").replace("e+", "e")
    else:
        has_separator = "," in mantissa or len(mantissa.partition(".")[0]) < 4
        text = f"{abs(value):{',' if has_separator else ''}.{digits}f}"
    if not re.search("[1-9]", text):
        return text
    minus = "-" if like.startswith("-") else "−"
    return (minus if value < 0 else "+" if like.startswith("+") else "") + text


def _shown(values: NDArray[np.float64], count: int, entry: str) -> NDArray[np.float64]:
    if len(values) == 3 and count in (1, 2):
        values = values[:1] if count == 1 else values[1:]
    if len(values) != count:
        raise NumbersError(f"{entry}: {count} numbers in the text, {len(values)} in the record")
    return values


def _follow_comment(page: Page, comment: re.Match[str], start: int) -> None:
    root: Any = None
    position = start
    columns: list[str] = []
    rows: Iterator[list[tuple[int, int]]] | None = None
    for line in re.finditer(r"[^\n]+", page.text[comment.start(1) : comment.end(1)]):
        begin = comment.start(1) + line.start()
        keyword, _, rest = line[0].partition(" ")
        piece, is_entry, source = line[0].partition(" = ")
        if is_entry:
            found = next(_places(page, piece, position, comment), None)
            if found is None:
                raise NumbersError(f"{piece!r} is not in the text above, in this order")
            new = page.put(*found.span(), evaluate(source, root), source)
            page.edits.append((begin, begin + len(piece), re.sub(r"\s+", " ", new)))
            position = found.end()
        elif reason := REASON.fullmatch(line[0]):
            places = [each.span() for each in _places(page, reason[1], start, comment)]
            if not places:
                raise NumbersError(f"{reason[1]!r} is not in the text above")
            page.explained += places
        elif keyword == "from":
            name, _, path = rest.partition(" ")
            root = follow(path, read(name))
        elif keyword == "columns":
            columns = rest.split("|")[1:]
            rows = rows or iter(_table_rows(page, start, comment.start()))
        elif keyword == "row" and rows is not None:
            _fill_row(page, next(rows, []), columns, rest.strip(), root)
        else:
            raise NumbersError(f"{line[0]!r} is none of the lines that a comment may have")
    if rows is not None and next(rows, None) is not None:
        raise NumbersError("the table has more rows than the comment below it")


def _places(page: Page, piece: str, start: int, comment: re.Match[str]) -> Iterator[re.Match[str]]:
    words = r"\s+".join(map(re.escape, piece.split()))
    pattern = re.compile(rf"(?<![\w.,−-]){words}(?!\w|[.,]\d)")
    return pattern.finditer(page.visible, start, comment.start())


def _table_rows(page: Page, start: int, end: int) -> list[list[tuple[int, int]]]:
    """Where the cells of the last table's rows are."""
    tables = list(re.finditer(r"(?:^\|.*\n)+", page.visible[start:end], re.MULTILINE))
    if not tables:
        raise NumbersError("there is no table above")
    rows = []
    for line in list(re.finditer(r".+", tables[-1][0]))[2:]:
        first = start + tables[-1].start() + line.start()
        bars = [first + bar.start() for bar in re.finditer(r"(?<!\\)\|", line[0])]
        rows.append([(left + 1, right) for left, right in pairwise(bars)])
    return rows


def _fill_row(
    page: Page, cells: list[tuple[int, int]], columns: list[str], row: str, root: Any
) -> None:
    if row == "-":
        return
    if len(cells) != len(columns):
        raise NumbersError(f"row {row}: {len(cells)} cells, {len(columns)} columns")
    for (start, end), column in zip(cells, columns, strict=True):
        source = column.strip().replace("{}", row)
        if source and NUMBER.search(page.text, start, end):
            page.put(start, end, evaluate(source, root), source)


def main() -> None:
    """Rewrites or checks the texts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="*", help="default: all texts")
    parser.add_argument("--check", action="store_true", help="change nothing")
    arguments = parser.parse_args()
    failed = False
    for path in arguments.files or texts():
        text = path.read_text(encoding="utf-8")
        try:
            page = Page.of(text)
        except NumbersError as error:
            sys.exit(f"{path}: {error}")
        for line, number in page.without_record():
            print(f"{path}:{line}: no record of {number}")
        if (new := page.rewritten()) != text:
            print(f"{path}: {'differs from' if arguments.check else 'rewritten from'} its records")
            failed = failed or arguments.check
            if not arguments.check:
                path.write_text(new, encoding="utf-8")
    sys.exit(failed)


def texts() -> list[Path]:
    """The texts of the repository that a user reads."""
    patterns = ("README.md", "docs/*.md", "*/*/README.md", "benchmarks/*.md")
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


if __name__ == "__main__":
    main()
