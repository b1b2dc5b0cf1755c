"""YAML with more levels than its parser can bear."""

import pickle

import pytest
import yaml

from crystal_data.io.own_files import DamagedFileError, read_yaml
from crystal_data.io.yaml_text import MAX_LEVELS, NestingError, check_nesting, load_yaml


def flow(levels):
    return "[" * levels + "]" * levels


def mapping(levels):
    return "{a: " * levels + "}" * levels


def block(levels):
    return "".join(f"{' ' * level}a:\n" for level in range(levels))


def dashes(levels):
    return "- " * levels + "1"


@pytest.mark.parametrize("kind", [flow, mapping, block, dashes])
def test_the_limit(kind):
    assert load_yaml(kind(MAX_LEVELS)) is not None
    with pytest.raises(NestingError, match=r"nested more than 100 levels deep; remove"):
        load_yaml(kind(MAX_LEVELS + 1))


@pytest.mark.parametrize(
    "text",
    [
        flow(100_000),
        mapping(100_000),
        dashes(100_000),
        "[" * 100_000,  # not closed
        "model: " + "[" * 100_000 + " %",
        "a: &a [1]\n" * 200 + "b: " + flow(100_000),
    ],
)
def test_levels_that_would_end_the_interpreter(text):
    with pytest.raises(NestingError):
        check_nesting(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" + "[], " * 1000 + "]",
        "a: [1, 2]\nb: {c: 3}\n" * 300,
        "- a: 1\n" * 1000,
        f"a: '{'[' * 1000}'",  # within quotes
        f"a: 1  # {'[' * 1000}",
    ],
)
def test_long_texts_are_not_deep(text):
    assert load_yaml(text) == yaml.safe_load(text)


def test_what_is_no_yaml_is_left_to_the_parser():
    check_nesting("a: ]" + "[" * 1000)
    with pytest.raises(yaml.YAMLError):
        load_yaml("a: ]" + "[" * 1000)


def test_a_file_is_named(tmp_path):
    (tmp_path / "deep.yaml").write_text(flow(100_000), encoding="utf-8")
    with pytest.raises(DamagedFileError, match=r"deep\.yaml: .*nested more than 100 levels"):
        read_yaml(tmp_path / "deep.yaml")


def test_the_error_passes_between_processes():
    with pytest.raises(NestingError) as caught:
        check_nesting(flow(200))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
