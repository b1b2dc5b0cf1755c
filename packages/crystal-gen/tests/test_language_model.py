"""Language models of symmetry: probabilities, what they learn, what is saved."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.generation import GenerationRequest
from crystal_data.transforms import SampleRandom
from crystal_gen import WyckoffAssignment
from crystal_gen.language.cursor import Cursor
from crystal_gen.language.small import SmallLanguageModel
from crystal_gen.wyckoff.batch import WyckoffBatch, wyckoff_batch
from crystal_gen.wyckoff.symmetry_model import SymmetryModel

pytest.importorskip("transformers")

ENERGY = "formation_energy_per_atom"
KNOWN = (
    (225, "Na:4a Cl:4b"),
    (221, "Cs:1a Cl:1b"),
    (227, "Li:8a Mn:16d O:32e"),
    (136, "Ti:2a O:4f"),
    (2, "K:2i Fe:1a,1b O:2i,2i"),
)


@pytest.fixture(scope="module")
def known() -> list[WyckoffAssignment]:
    made = []
    for group, text in KNOWN:
        request = GenerationRequest.from_dict({"space_group": group, "wyckoff": text})
        made.append(WyckoffAssignment.from_sites(group, request.wyckoff).canonical())
    return made


def batch_of(assignments: Sequence[WyckoffAssignment], **targets: torch.Tensor) -> WyckoffBatch:
    return wyckoff_batch(
        assignments,
        sample_id=torch.arange(len(assignments)),
        identifier=[str(each) for each in assignments],
        targets=targets,
    )


def small(properties: Sequence[str] = (), **options: object) -> SmallLanguageModel:
    torch.manual_seed(0)
    options = {"width": 32, "num_layers": 2, "num_heads": 2, "dropout": 0.0, **options}
    return SmallLanguageModel(properties, **options).eval()


@pytest.mark.parametrize("architecture", ["glm", "glm4"])
def test_probabilities_are_those_of_the_tokens_one_by_one(
    known: list[WyckoffAssignment], architecture: str
) -> None:
    model = small(architecture=architecture, lists_positions=True)
    with torch.no_grad():
        logs = model.log_probabilities(batch_of(known))
    for row, each in enumerate(known):
        [question] = model.questions(batch_of([each]))
        question = question.__class__(question.elements, question.counts, tuple(range(1, 64)))
        [prompt] = model.prompts([question])
        pieces = model.grammar.pieces(question, each)
        tokens = [token for piece in pieces for token in model.spoken.encode(piece)]
        with torch.no_grad():
            scores = model.network(torch.tensor([[*prompt, *tokens]])).logits[0]
        cursor, sums = Cursor(model.spoken, model.grammar, question), {"z": 0.0, "group": 0.0}
        total = 0.0
        for token, own in zip(tokens, scores[len(prompt) - 1 :], strict=False):
            legal = torch.from_numpy(cursor.legal)
            log = float(own[token] - own[legal].logsumexp(0))
            part = "z" if not cursor.part.z else "group" if cursor.part.progress is None else ""
            sums[part] = sums.get(part, 0.0) + log
            total += log
            cursor = cursor.after(token)
        assert float(logs["z"][row]) == pytest.approx(sums["z"], abs=1e-4)
        assert float(logs["group"][row]) == pytest.approx(sums["group"], abs=1e-4)
        assert sum(float(part[row]) for part in logs.values()) == pytest.approx(total, abs=1e-4)


def test_group_logs_are_those_of_the_answers(known: list[WyckoffAssignment]) -> None:
    model, batch = small(), batch_of(known)
    logs = model.group_logs(batch)
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(len(known)))
    own = logs.gather(1, batch.space_group_number[:, None])[:, 0]
    torch.testing.assert_close(own, model.log_probabilities(batch)["group"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("learns_legal", [True, False])
def test_it_learns_answers_by_heart(known: list[WyckoffAssignment], learns_legal: bool) -> None:
    model, batch = small(exchange=0.0, learns_legal=learns_legal).train(), batch_of(known)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for step in range(100):
        sums = model.losses(batch, SampleRandom(0, step, batch.sample_id))
        loss = torch.stack([total / count for total, count in sums.values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    logs = model.eval().log_probabilities(batch)
    assert (sum(logs.values()) > np.log(0.8)).all()
    answers = model.best_answers(model.questions(batch), 1)
    assert [each.assignment for [each] in answers] == known
    walked = model.free_walks(model.questions(batch), seeds=range(len(known)))
    # Words that are forced are learned only where they count.
    assert sum(walked) >= 4 if not learns_legal else not any(walked)


def test_a_wish_changes_answers_and_none_is_like_unknown(known: list[WyckoffAssignment]) -> None:
    model = small([ENERGY])
    one, other = (batch_of(known, **{ENERGY: torch.full((5,), v)}) for v in (-3.0, 1.0))
    nothing = batch_of(known, **{ENERGY: torch.full((5,), torch.nan)})
    assert not torch.allclose(model.group_logs(one), model.group_logs(other))
    torch.testing.assert_close(model.group_logs(nothing), model.group_logs(batch_of(known)))


def test_it_is_saved_and_loaded(tmp_path: Path, known: list[WyckoffAssignment]) -> None:
    model = small([ENERGY])
    model.take_units({ENERGY: Field(ENERGY, "eV/atom")}, is_fit=True)
    model.exchange.is_known[[11, 17]] = True
    model.save_pretrained(tmp_path / "model")
    loaded = SymmetryModel.from_pretrained(tmp_path / "model").eval()
    assert isinstance(loaded, SmallLanguageModel)
    assert loaded.words == model.words
    batch = batch_of(known, **{ENERGY: torch.full((5,), -1.0)})
    torch.testing.assert_close(loaded.group_logs(batch), model.group_logs(batch))
    assert loaded.exchange.is_known.sum() == 2


def test_a_missing_library_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InvalidArgumentError, match="needs transformers") as error:
        small()
    assert "crystal-gen[language]" in str(error.value)
