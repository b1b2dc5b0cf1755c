"""The whole way as a generator, with small models that nothing was trained into."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crystal_data.generation import GenerationRequest, RequestError, Task, generate_all, tasks_of
from crystal_data.io import read_csv
from crystal_data.testing import GeneratorContract, rock_salt, toy_requests
from crystal_gen import (
    CandidateRanker,
    CrystalDiT,
    CrystalGenerator,
    FormulaModel,
    TemplateLibrary,
    WyckoffTransformer,
)
from crystal_gen.candidates.formula_model import fit_formula_model
from crystal_gen.candidates.sources import PoolSizes

ENERGY = "formation_energy_per_atom"


def generator_of(library: TemplateLibrary, **options) -> CrystalGenerator:
    torch.manual_seed(0)
    return CrystalGenerator(
        library,
        CrystalDiT([ENERGY], width=16, num_layers=1, pair_width=8, num_heads=2),
        WyckoffTransformer([ENERGY], width=16, num_layers=1),
        CandidateRanker(width=8, num_members=1),
        sizes=PoolSizes(templates=6, warm_starts=1, answers=2, from_noise=3),
        **options,
    )


class TestCrystalGenerator(GeneratorContract):
    is_random = False  # copies are the same with any seed

    @pytest.fixture(autouse=True)
    def _library(self, library):
        self.library = library

    def generator(self):
        return generator_of(self.library)

    def requests(self):
        """Few, of all kinds: each has a pool of its own."""
        return [*toy_requests(num_samples=3)[::4], GenerationRequest(formula="KBr", num_samples=2)]


@pytest.fixture(scope="module")
def generator(library: TemplateLibrary) -> CrystalGenerator:
    return generator_of(library)


def test_samples_are_the_pool_the_best_first(generator: CrystalGenerator) -> None:
    request = GenerationRequest(formula="KBr", z=1, num_samples=200)
    made = generator.generate(tasks_of([request]))
    ranked = generator.ranked(request)
    scores = [each.score for each in made if each.score is not None]
    assert len(scores) == len(ranked)
    assert scores == sorted(scores, reverse=True)
    assert [each.probability for each in made[: len(ranked)]] == scores
    assert all(each.why and each.source for each in made[: len(ranked)])
    assert all(each.flags == ("no_further_candidate",) for each in made[len(ranked) :])


def test_elements_get_the_pools_of_several_formulas(generator: CrystalGenerator) -> None:
    request = GenerationRequest(elements=("K", "Br"), num_samples=6)
    made = [each for each in generator.generate(tasks_of([request])) if each.crystal is not None]
    assert len(made) >= 4
    assert {tuple(sorted(each.crystal.composition)) for each in made} == {("Br", "K")}
    assert all(each.score <= each.probability for each in made)


def test_a_wish_chooses_among_formulas(library: TemplateLibrary) -> None:
    torch.manual_seed(0)
    formulas = FormulaModel([ENERGY], width=8)
    counts = np.random.default_rng(0).integers(1, 5, size=(300, 3)).tolist()
    compositions = [dict(zip(("Li", "Mn", "O"), each, strict=True)) for each in counts]
    shares = torch.tensor([each["O"] / sum(each.values()) for each in compositions])
    fit_formula_model(formulas, compositions, {ENERGY: -4.0 * shares}, num_epochs=40)
    generator = generator_of(library, formulas=formulas)
    shares_made = []
    for value in (-0.6, -2.3):
        wish = {"elements": "Li-Mn-O", "properties": {ENERGY: value}}
        ranked = generator.ranked(GenerationRequest.from_dict(wish))
        made = [each.candidate.crystal.to_crystal().composition for each in ranked]
        shares = [each["O"] / sum(each.values()) for each in made]
        shares_made.append(np.average(shares, weights=[each.score for each in ranked]))
    assert shares_made[0] < shares_made[1] - 0.02
    assert generator.provenance["formulas"] == formulas.fingerprint()


def test_a_start_is_where_it_begins(generator: CrystalGenerator) -> None:
    request = GenerationRequest(start=rock_salt())
    [made] = generator.generate([Task(request, 0)])
    assert made.source == "start"
    assert made.crystal.composition == {"Na": 1, "Cl": 1}


def test_what_nothing_is_known_of(generator: CrystalGenerator) -> None:
    open_ = GenerationRequest.from_dict({"space_group": 225, "wyckoff": "4a 4b"})
    [made] = generator.generate([Task(open_, 0)])
    assert made.flags == ("no_composition",)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"formula": "KBr", "properties": {"band": 1.0}}, "does not know the property 'band'"),
        ({"elements": "H-Li-B-C-N-O-F"}, "no known crystal has as many as 7 elements"),
    ],
)
def test_what_cannot_be_met(generator: CrystalGenerator, wish, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        generator.check([GenerationRequest.from_dict(wish)])


def test_units_that_the_group_cannot_hold(library: TemplateLibrary) -> None:
    generator = generator_of(library, z_values=[1, 3])
    spinel = GenerationRequest(formula="LiMn2O4", space_group=227)
    with pytest.raises(RequestError, match="cannot hold LiMn2O4 with z = 1, 3; leave z open"):
        generator.check([spinel])


def test_doubts_are_said(library: TemplateLibrary) -> None:
    generator = generator_of(library)
    notes = generator.check([GenerationRequest.from_dict({"formula": "KBr"})])
    assert notes == ["no training crystal has K, Br: what follows is a guess"]
    wish = {"formula": "KBr", "properties": {ENERGY: 0.5}}
    assert len(generator.check([GenerationRequest.from_dict(wish)])) == 1  # nothing is known
    for model in (generator._starts.model, generator._symmetry):
        model.fit_properties({ENERGY: torch.tensor([-3.0, 0.25, torch.nan])})
    [_, note] = generator.check([GenerationRequest.from_dict(wish)])
    assert note.startswith(f"{ENERGY} = 0.5 is outside the training values, which are from -3 to")


def test_elements_without_an_electronegativity(generator: CrystalGenerator) -> None:
    """Their value in the table is infinite, which is no feature (it overflowed)."""
    ranked = generator.ranked(GenerationRequest(formula="HeNe", z=1))
    assert ranked
    assert all(0 <= each.probability <= 1 for each in ranked)


def test_the_table_has_probabilities_and_reasons(
    generator: CrystalGenerator, tmp_path: Path
) -> None:
    generate_all(generator, [GenerationRequest(formula="KBr", z=1, num_samples=3)], tmp_path)
    with (tmp_path / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(read_csv(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    chances = [float(row["probability"]) for row in rows]
    assert chances == sorted(chances, reverse=True)
    assert all(row["why"] for row in rows)


def test_known_crystals_of_the_composition_come_first(generator: CrystalGenerator) -> None:
    known = generator.library.crystal(0).to_crystal()
    ranked = generator.ranked(GenerationRequest(formula=known.formula, num_samples=50))
    are_known = [each.candidate.is_known for each in ranked]
    assert are_known[0]
    assert are_known == sorted(are_known, reverse=True)
    assert ranked[0].candidate.source.startswith("known ")
    assert sum(each.probability for each in ranked) <= 1.0 + 1e-9
    for part in (ranked[: sum(are_known)], ranked[sum(are_known) :]):
        chances = [each.probability for each in part]
        assert chances == sorted(chances, reverse=True)
