"""The compact model: probabilities, what it learns, what is saved."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crystal_data.elements import ATOMIC_NUMBERS, SYMBOLS
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.generation import GenerationRequest, RequestError
from crystal_data.loading import BatchRequest, CrystalDataset
from crystal_data.store import CrystalStore
from crystal_data.testing import write_checkpoint
from crystal_data.transforms import SampleRandom
from crystal_gen import WyckoffAssignment, WyckoffModule, WyckoffTransformer
from crystal_gen.wyckoff.batch import (
    WyckoffBatch,
    WyckoffCollator,
    assignments_in,
    wyckoff_batch,
)
from crystal_gen.wyckoff.elements import element_features, period_and_group
from crystal_gen.wyckoff.measures import exact_at, groups_at
from crystal_gen.wyckoff.symmetry_model import with_elements

ENERGY = "formation_energy_per_atom"
KNOWN = (
    (225, "Na:4a Cl:4b"),
    (221, "Cs:1a Cl:1b"),
    (227, "Li:8a Mn:16d O:32e"),
    (221, "Sr:1a Ti:1b O:3c"),
    (136, "Ti:2a O:4f"),
    (62, "Ca:4c Ti:4b O:4c,8d"),
    (2, "K:2i Fe:1a,1b O:2i,2i"),
)


def assigned(space_group: int, text: str) -> WyckoffAssignment:
    request = GenerationRequest.from_dict({"space_group": space_group, "wyckoff": text})
    return WyckoffAssignment.from_sites(space_group, request.wyckoff).canonical()


def batch_of(assignments: Sequence[WyckoffAssignment], **targets: torch.Tensor) -> WyckoffBatch:
    return wyckoff_batch(
        assignments,
        sample_id=torch.arange(len(assignments)),
        identifier=[str(each) for each in assignments],
        targets=targets,
    )


@pytest.fixture(scope="module")
def known() -> list[WyckoffAssignment]:
    return [assigned(*each) for each in KNOWN]


def small(properties: Sequence[str] = (), seed: int = 0, **options: object) -> WyckoffTransformer:
    torch.manual_seed(seed)
    options = {"width": 16, "num_layers": 2, "num_heads": 2, "dropout": 0.0, **options}
    return WyckoffTransformer(properties, **options).eval()


def test_a_batch_holds_its_assignments(known: list[WyckoffAssignment]) -> None:
    batch = batch_of(known)
    assert assignments_in(batch) == known
    spinel = {name: getattr(batch, name)[2] for name in ("elements", "counts", "z", "left")}
    assert spinel["elements"].tolist() == [3, 25, 8]
    assert spinel["counts"].tolist() == [1, 2, 4]
    assert spinel["z"] == 2
    assert spinel["left"].tolist()[:3] == [2, 4, 8]
    chosen = batch.legal_places.gather(2, batch.places[..., None])[..., 0]
    assert chosen[batch.mask].all()
    assert batch.legal_groups.gather(1, batch.space_group_number[:, None]).all()


def test_crystals_of_a_store_become_batches(store: CrystalStore) -> None:
    dataset = CrystalDataset(store, collator=WyckoffCollator())
    batch = dataset[BatchRequest(np.arange(len(store)), epoch=0)]
    assert isinstance(batch, WyckoffBatch)
    for row, each in enumerate(assignments_in(batch)):
        crystal = store.crystal(row)
        whole = {SYMBOLS[z]: int((crystal.atomic_numbers == z).sum()) for z in each.elements}
        factor = sum(whole.values()) / sum(each.cell.values())
        assert {symbol: count * factor for symbol, count in each.cell.items()} == whole
        assert each == each.canonical()


def test_a_crystal_alone_is_as_probable_as_in_a_batch(known: list[WyckoffAssignment]) -> None:
    model = small()
    together = model.log_probabilities(batch_of(known), torch.empty(len(known), 0))
    for row, each in enumerate(known):
        alone = model.log_probabilities(batch_of([each]), torch.empty(1, 0))
        for name, values in alone.items():
            torch.testing.assert_close(values[0], together[name][row], atol=1e-5, rtol=1e-5)


def test_group_logs_are_those_of_the_answers(known: list[WyckoffAssignment]) -> None:
    model, batch = small(), batch_of(known)
    logs = model.group_logs(batch)
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(len(known)))
    own = logs.gather(1, batch.space_group_number[:, None])[:, 0]
    torch.testing.assert_close(own, model.log_probabilities(batch, torch.empty(7, 0))["group"])


def test_it_learns_answers_by_heart(known: list[WyckoffAssignment]) -> None:
    model, batch = small(exchange=0.0, width=32).train(), batch_of(known)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for step in range(60):
        sums = model.losses(batch, SampleRandom(0, step, batch.sample_id))
        loss = torch.stack([total / count for total, count in sums.values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    logs = model.eval().log_probabilities(batch, torch.empty(len(known), 0))
    assert (sum(logs.values()) > np.log(0.8)).all()


def test_a_wish_changes_answers_and_none_is_like_unknown(known: list[WyckoffAssignment]) -> None:
    model = small([ENERGY])
    model.fit_scales(batch_of(known, **{ENERGY: torch.linspace(-3.0, 0.0, len(known))}))
    one, other = (batch_of(known, **{ENERGY: torch.full((7,), v)}) for v in (-3.0, 1.0))
    nothing = batch_of(known, **{ENERGY: torch.full((7,), torch.nan)})
    assert not torch.allclose(model.group_logs(one), model.group_logs(other))
    torch.testing.assert_close(model.group_logs(nothing), model.group_logs(batch_of(known)))


def test_exchanged_elements_bring_canonical_letters(known: list[WyckoffAssignment]) -> None:
    model = small([ENERGY], exchange=1.0)
    batch = batch_of(known * 20, **{ENERGY: torch.zeros(7 * 20)})
    model.exchange.is_known[1:90] = True
    changed = model._exchanged(batch, SampleRandom(0, 0, batch.sample_id))
    before, after = assignments_in(batch), assignments_in(changed)
    is_changed = [a.elements != b.elements for a, b in zip(before, after, strict=True)]
    assert 0.2 < np.mean(is_changed) < 1.0
    assert changed.targets[ENERGY].isnan().tolist() == is_changed
    for one, other in zip(before, after, strict=True):
        assert other == other.canonical()
        assert sorted(one.cell.values()) == sorted(other.cell.values())
        assert one.space_group == other.space_group


def test_another_order_of_elements_brings_other_letters() -> None:
    oxide = assigned(225, "Sr:8c O:4a")
    flipped = with_elements(oxide, [8, 38])  # O on 8c, Sr on 4a
    assert str(flipped) == "Fm-3m Sr:4a O:8c"
    titanate = assigned(221, "Sr:1a Ti:1b O:3c")
    exchanged = with_elements(titanate, [22, 38, 8])
    assert exchanged == exchanged.canonical() == assigned(221, "Ti:1a Sr:1b O:3c")


def test_it_is_saved_and_loaded(tmp_path: Path, known: list[WyckoffAssignment]) -> None:
    model = small([ENERGY])
    model.take_units({ENERGY: Field(ENERGY, "eV/atom")}, is_fit=True)
    values = {"min": -4.0, "max": 0.25, "mean_absolute_deviation": 0.8, "num_labels": 2}
    targets = {ENERGY: values, "band_gap": {**values, "min": 0.0}}
    described = {"num_crystals": 2, "elements": ["K", "Br"], "max_atoms": 2, "targets": targets}
    model.save_pretrained(tmp_path / "model", metadata={"training": described})
    loaded = WyckoffTransformer.from_pretrained(tmp_path / "model").eval()
    assert loaded.property_units == {ENERGY: "eV/atom"}
    assert loaded.property_ranges == {ENERGY: (-4.0, 0.25)}
    torch.testing.assert_close(
        loaded.group_logs(batch_of(known)), model.group_logs(batch_of(known))
    )
    wrong = GenerationRequest.from_dict({"formula": "KBr", "properties": {"energy": 1.0}})
    with pytest.raises(RequestError, match=f"did you mean '{ENERGY}'"):
        loaded.check_properties(
            [
                wrong.__class__.from_dict(
                    {**wrong.as_dict(), "properties": {"formation_energy": 1.0}}
                )
            ]
        )


def test_element_properties_can_be_left_out(known: list[WyckoffAssignment]) -> None:
    plain = small(uses_element_properties=False)
    assert plain.network.elements.properties is None
    assert torch.isfinite(plain.group_logs(batch_of(known)).exp()).all()


def test_training_can_count_what_is_illegal_too(known: list[WyckoffAssignment]) -> None:
    wishes, batch = torch.empty(len(known), 0), batch_of(known)
    legal, free = small(), small(learns_legal=False)
    for part in ("group", "positions"):
        one = legal.log_probabilities(batch, wishes)[part]
        assert (one > free.log_probabilities(batch, wishes)[part]).all()
    batch = replace(batch, legal_groups=torch.zeros_like(batch.legal_groups))
    assert torch.isfinite(free.log_probabilities(batch, wishes)["group"]).all()


def test_the_periodic_table() -> None:
    table = {"H": (1, 1), "He": (1, 18), "Mg": (3, 2), "Al": (3, 13), "Sc": (4, 3), "Zn": (4, 12)}
    table |= {"La": (6, 0), "Lu": (6, 3), "Hf": (6, 4), "U": (7, 0), "Lr": (7, 3), "Og": (7, 18)}
    for symbol, expected in table.items():
        assert period_and_group(ATOMIC_NUMBERS[symbol]) == expected
    pymatgen = pytest.importorskip("pymatgen.core")
    for number in range(1, 119):
        element = pymatgen.Element.from_Z(number)
        period, group = period_and_group(number)
        assert period == element.row if not 57 <= number <= 71 else 6
        if group:
            assert group == element.group
    assert torch.isfinite(element_features()).all()
    assert not element_features()[0].any()


def test_ranks_count_ties_against_the_truth() -> None:
    scores = torch.tensor([[0.0, 3.0, 2.0, 2.0], [0.0, 1.0, 1.0, 1.0]])
    sums = groups_at(scores, torch.tensor([1, 2]))
    assert sums["group_at_1"][0] == 1
    assert sums["group_at_5"][0] == 2
    salt, other = assigned(225, "Na:4a Cl:4b"), assigned(221, "Na:1a Cl:1b")
    sums = exact_at([[salt, other], [salt], []], [other, salt, salt])
    assert sums["exact_at_1"] == (1.0, 3.0)
    assert sums["exact_at_20"] == (2.0, 3.0)


def test_a_spectrum_cannot_be_wished_for() -> None:
    module = WyckoffModule(small([ENERGY]))
    with pytest.raises(InvalidArgumentError, match="is a spectrum"):
        module.take_fields({ENERGY: Field(ENERGY, shape=(66,))}, is_fit=True)


def test_a_module_comes_out_of_its_checkpoint(tmp_path: Path) -> None:
    module = WyckoffModule(small([ENERGY]), uses_wishes=True)
    loaded = WyckoffModule.load_from_checkpoint(write_checkpoint(module, tmp_path / "a.ckpt"))
    assert loaded.targets == (ENERGY,)
    state = module.state_dict()
    assert all(torch.equal(state[name], value) for name, value in loaded.state_dict().items())
