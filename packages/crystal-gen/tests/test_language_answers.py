"""Prompts and answers as text: nothing is lost, with tokenizers of words and of letters."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GenerationRequest
from crystal_gen import WyckoffAssignment
from crystal_gen.language.cursor import Cursor, PieceTokens
from crystal_gen.language.grammar import AnswerGrammar
from crystal_gen.language.prompt import Prompt
from crystal_gen.templates.mendeleev import MENDELEEV_NUMBERS
from crystal_gen.wyckoff.questions import SymmetryQuestion

KNOWN = (
    (225, "Na:4a Cl:4b"),
    (227, "Li:8a Mn:16d O:32e"),
    (62, "Ca:4c Ti:4b O:4c,8d"),
    (2, "K:2i Fe:1a,1b O:2i,2i"),
    (47, "Na:8A,1a Cl:8A,1b"),
    (1, "H:1a,1a,1a"),
)


def assigned(space_group: int, text: str) -> WyckoffAssignment:
    request = GenerationRequest.from_dict({"space_group": space_group, "wyckoff": text})
    return WyckoffAssignment.from_sites(space_group, request.wyckoff).canonical()


def question_of(assignment: WyckoffAssignment, *, asks_z: bool = True) -> SymmetryQuestion:
    request = GenerationRequest(space_group=assignment.space_group, wyckoff=assignment.sites)
    z = request.z or 1
    return SymmetryQuestion.from_request(
        GenerationRequest(formula=request.formula, z=z if asks_z else None), ()
    )


@pytest.mark.parametrize("known", KNOWN, ids=str)
@pytest.mark.parametrize("asks_z", [True, False])
@pytest.mark.parametrize("lists_positions", [True, False])
@pytest.mark.parametrize("kind", ["words", "bytes"])
def test_an_answer_comes_back(
    known: tuple[int, str],
    asks_z: bool,
    lists_positions: bool,
    kind: str,
    piece_tokens: Callable[[str], PieceTokens],
) -> None:
    assignment, spoken = assigned(*known), piece_tokens(kind)
    question, grammar = question_of(assignment, asks_z=asks_z), AnswerGrammar(lists_positions)
    pieces = grammar.pieces(question, assignment)
    text = "".join(pieces)
    assert grammar.read(question, text) == assignment
    tokens = [token for piece in pieces for token in spoken.encode(piece)]
    assert spoken.decode(tuple(tokens)) == text
    cursor = Cursor(spoken, grammar, question)
    for token in (*tokens, spoken.end):
        assert not cursor.is_done
        cursor = cursor.after(token)
    assert cursor.is_done
    assert cursor.assignment == assignment


def test_the_text_is_the_chain() -> None:
    spinel = assigned(227, "Li:8a Mn:16d O:32e")
    text = "".join(AnswerGrammar().pieces(question_of(spinel, asks_z=False), spinel))
    assert text == (
        "z 2\ngroup 227\npositions 8a 8b 16c 16d 32e 48f 96g 96h 192i\n"
        f"Li 8a\nMn 16{spinel.sites[1].letter}\nO 32e\n"
    )
    short = "".join(AnswerGrammar(lists_positions=False).pieces(question_of(spinel), spinel))
    assert short == f"z 2\ngroup 227\nLi 8a\nMn 16{spinel.sites[1].letter}\nO 32e\n"


def test_what_is_no_answer_is_refused() -> None:
    salt = assigned(225, "Na:4a Cl:4b")
    question, grammar = question_of(salt), AnswerGrammar()
    text = "".join(grammar.pieces(question, salt))
    for wrong in ("", text[:-1], text + "\n", text.replace("4b\n", "4a\n"), text.replace("5", "6")):
        assert grammar.read(question, wrong) is None
    with pytest.raises(InvalidArgumentError, match="no answer to the question"):
        grammar.pieces(question, assigned(227, "Li:8a Mn:16d O:32e"))
    impossible = SymmetryQuestion((11, 17), (1, 1), (1, 3), space_group=227)
    with pytest.raises(InvalidArgumentError, match="no choice of Wyckoff positions"):
        grammar.start(impossible)


def test_a_prompt_says_what_is_asked(piece_tokens: Callable[[str], PieceTokens]) -> None:
    question = SymmetryQuestion((26, 8), (2, 3), (2,), 167, (-1.66, float("nan")))
    prompt = Prompt({"formation_energy_per_atom": "eV/atom", "band_gap": "eV"})
    iron, oxygen = (int(MENDELEEV_NUMBERS[number]) for number in question.elements)
    assert prompt.text(question) == (
        f"Fe 2 period 4 group 8 electronegativity 1.83 Mendeleev {iron}\n"
        f"O 3 period 2 group 16 electronegativity 3.44 Mendeleev {oxygen}\n"
        "formation_energy_per_atom -1.66 eV/atom\n"
        "Space group and Wyckoff positions:\n"
    )
    assert Prompt(uses_element_properties=False).text(question).startswith("Fe 2\nO 3\nSpace")
    helium = prompt.text(SymmetryQuestion((2,), (1,), (1,)))
    assert helium.startswith(f"He 1 period 1 group 18 Mendeleev {int(MENDELEEV_NUMBERS[2])}\n")
    spoken = piece_tokens("words")
    text = prompt.text(question)
    assert spoken.decode(spoken.encode(text)) == text


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_legal_walk_is_read_back(data: st.DataObject) -> None:
    elements = data.draw(st.sampled_from([(11, 17), (3, 25, 8), (29,), (38, 22, 8)]))
    counts = tuple(data.draw(st.integers(1, 4)) for _ in elements)
    z_values = data.draw(st.sampled_from([(1,), (2,), (1, 2, 3)]))
    question, grammar = SymmetryQuestion(elements, counts, z_values), AnswerGrammar()
    part, text = grammar.start(question), ""
    while not part.is_complete:
        options = grammar.options(question, part)
        assert options
        piece = data.draw(st.sampled_from(list(options)))
        text += "".join(grammar.lead(question, part)) + piece
        part = grammar.after(question, part, options[piece])
    text += "".join(grammar.lead(question, part))
    found = grammar.assignment(question, part)
    assert found is not None
    assert grammar.read(question, text) == found
    made = GenerationRequest(space_group=found.space_group, wyckoff=found.sites)
    assert sum(made.cell.values()) % sum(counts) == 0
