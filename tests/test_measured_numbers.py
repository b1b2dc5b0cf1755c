"""Measured numbers in the texts are those of the records in ``benchmarks/results``."""

import importlib
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "scripts"))
measured = importlib.import_module("measured")
records = importlib.import_module("records")

# Records from before they said their date and commit. None is added to these.
WITHOUT_ORIGIN = set(
    """
    alignn embeddings-jarvis embeddings-labels embeddings-periodic embeddings-perovskites
    embeddings-table1 embeddings-table2 embeddings-table3 embeddings-table4 megnet phonon-dos
    structure-models structures structures-joined templates
    training uae-builtin uae-mp20
    """.split()
)
TEXTS = {str(path.relative_to(ROOT)): path for path in measured.texts()}
RESULTS = ROOT / "benchmarks" / "results"
RECORD = {
    "rows": [
        {"variant": {"table": "own"}, "mean": 0.12849, "gain": None},
        {
            "variant": {"table": "other"},
            "mean": 1234.5,
            "gain": {"estimate": -0.2871, "low": -0.439, "high": -0.135},
        },
    ],
    "a key, with: signs": [2.345, 0.1],
    "first": {"0": 1.0, "1": 1.1, "2": 0.9},
    "second": {"0": 1.5, "1": 1.4, "2": 1.3},
    "tiny": 1.2e-6,
}


@pytest.fixture(autouse=True)
def _record(tmp_path, monkeypatch, request):
    if "name" not in request.fixturenames:
        (tmp_path / "some.json").write_text(json.dumps(RECORD), encoding="utf-8")
        monkeypatch.setattr(records, "RESULTS", tmp_path)
    records.read.cache_clear()


def page(text, comment):
    return measured.Page.of(f"{text}\n\n<!-- numbers\nfrom some.json\n{comment}\n-->\n")


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_numbers_of_texts_are_those_of_records(name):
    text = TEXTS[name].read_text(encoding="utf-8")
    found = measured.Page.of(text)
    assert found.rewritten() == text, "python scripts/measured.py rewrites the numbers"
    without = [f"{name}:{line}: {number}" for line, number in found.without_record()]
    assert not without, "\n".join(without)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_records_say_their_versions_date_and_commit(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["versions"]
    assert bool(content.get("date") and content.get("commit")) == (path.stem not in WITHOUT_ORIGIN)


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("an error of 0.999", ".rows[table=own].mean", "an error of 0.128"),
        ("**9.9 %** (0.0 to 0.0)", ".rows[1].gain * 100", "**−28.7 %** (−43.9 to −13.5)"),
        ("worse by 9 % (0 to 0)", ".rows[1].gain * -100", "worse by 29 % (14 to 44)"),
        ("it is +0.1 %", ".rows[1].mean", "it is +1,234.5 %"),
        ("the interval 1 to 2", ".rows[1].gain * 100", "the interval −44 to −14"),
        ("9,999 atoms/s", "round(.rows[1].mean, -2)", "1,200 atoms/s"),
        ("0.00 ± 0.00", '."a key, with: signs"', "2.35 ± 0.10"),
        ("9.9e-9 Å", ".tiny", "1.2e-6 Å"),
        ("-9 % here", ".rows[1].gain * 100 - 1 + 1", "-29 % here"),
        ("from 1 to 2 %", "seed_gain(.first, .second) * 100", "from −71 to −9 %"),
        ("a long\nline with 9 %", "max(.rows[1].mean, .tiny) / 100", "a long\nline with 12 %"),
    ],
)
def test_numbers_take_the_form_that_the_text_has(text, source, expected):
    piece = " ".join(text.split()).replace("**", "")
    piece = piece.replace("9.9 % (0.0", "9.9 %** (0.0")
    new = page(text, f"{piece} = {source}").rewritten()
    assert new.startswith(expected + "\n")
    again = measured.Page.of(new)
    assert again.rewritten() == new
    assert not list(again.without_record())


def test_cells_of_tables_are_filled_row_by_row():
    head = "| table | error | gain |\n| --- | --- | --- |\n"
    table = f"{head}| own | 9.999 | – |\n| other | 9.9 | 9.9 % |"
    comment = "columns | | {}.mean | {}.gain * 100\nrow .rows[table=own]\nrow .rows[table=other]"
    found = page(table, comment)
    assert "| own | 0.128 | – |\n| other | 1,234.5 | −28.7 % |" in found.rewritten()
    assert not list(found.without_record())


def test_equal_numbers_are_told_apart_by_their_order():
    found = page("from 0.1 % to 0.1 %", "0.1 % = .rows[0].mean\n0.1 % = .rows[1].mean")
    assert found.rewritten().startswith("from 0.1 % to 1,234.5 %\n")


@pytest.mark.parametrize(
    "text",
    [
        "less by 29 %",
        "24 times as fast",
        "0.0557 eV/atom",
        "within 3 ms",
        "7,700 structures/s",
        "20 MB",
        "it reaches 0.128",
        "| | 12.3 |",
        "(95 % interval 14 to 44)",
        "(18 to 32)",
    ],
)
def test_what_looks_measured_needs_a_record(text):
    assert list(measured.Page.of(text).without_record())


@pytest.mark.parametrize(
    "text",
    [
        "8,713 crystals",
        "the 95 % interval",
        "MP-20",
        "version 0.1.0",
        "`0.128 eV`",
        "arXiv 2509.12178",
    ],
)
def test_what_does_not_look_measured_needs_none(text):
    assert not list(measured.Page.of(text).without_record())


def test_a_reason_stands_for_a_record():
    reasons = "14 % is published (Jin et al. 2024)\n0.05 s is a setting"
    assert not list(page("The gain was 14 %, with 0.05 s.", reasons).without_record())


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("8 % = .tiny", "'8 %' is not in the text above"),
        ("9 % = .nothing", "nothing at 'nothing'"),
        ("9 % = .rows[table=none].mean", "nothing at 'table=none'"),
        ("9 % = .rows[1].variant", "no numbers"),
        ("9 % = .tiny ; .tiny", "1 numbers in the text, 2 in the record"),
        ("9 % = __import__('os')", "only paths, numbers"),
        ("9 % from the record", "none of the lines"),
        ("9 % = .tiny *", "is no expression"),
        ("8 % is a setting", "is not in the text above"),
        ("columns | .tiny", "no table above"),
    ],
)
def test_comments_that_cannot_be_followed_are_refused(comment, message):
    with pytest.raises(records.NumbersError, match=message):
        page("It is 9 %.", comment)


def test_a_table_and_its_comment_have_as_many_rows():
    table = "| a | b |\n| --- | --- |\n| own | 9.9 |\n| other | 9.9 |"
    with pytest.raises(records.NumbersError, match="more rows than the comment"):
        page(table, "columns | | {}\nrow .tiny")
