"""Generated structures measured on references: who matches, who is missing, what differs."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
import torch

from crystal_data.__main__ import main
from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError, MissingFileError, SourceError
from crystal_data.generation import (
    EvaluationSettings,
    GeneratedSample,
    GeneratedStructure,
    GenerationRequest,
    StructureWriter,
    evaluate_generated,
    paired_differences,
    read_generated,
    tasks_of,
    write_evaluation,
)
from crystal_data.generation.evaluate import named_by_position
from crystal_data.generation.strata import have_polymorph, reference_symmetry, strata_of
from crystal_data.generation.strata_file import read_strata, write_strata
from crystal_data.io.ase import to_ase, to_extxyz
from crystal_data.io.cif.write import to_cif
from crystal_data.metrics import MatchSettings, match, read_results
from crystal_data.testing import perovskite, rock_salt

SETTINGS = EvaluationSettings(matching=MatchSettings(num_workers=0), num_samples=(1, 2, 20))


def named(crystal, name):
    return crystal.replace(identifier=name)


REFERENCES = [
    named(rock_salt(), "NaCl"),
    named(perovskite(), "BaTiO3"),
    named(rock_salt(19, 35, 6.6), "KBr"),
    named(rock_salt(3, 9, 4.0), "LiF"),
]
# The right elements in the wrong places.
SWAPPED = perovskite(22, 56)


def sample(request, number, crystal, rank=None):
    return GeneratedStructure(request, number, crystal, rank or number + 1, None, (), "file")


def distorted(crystal, shift):
    coords = crystal.frac_coords.copy()
    coords[-1] += shift
    return crystal.replace(frac_coords=coords)


GENERATED = [
    sample("NaCl", 0, rock_salt()),
    sample("BaTiO3", 0, distorted(perovskite(), [0.02, 0, 0.03])),
    sample("BaTiO3", 1, perovskite()),
    sample("KBr", 0, None),
    sample("KBr", 1, rock_salt(19, 35, 6.5)),
]


def test_missing_structures_are_misses_and_ranks_decide_who_is_first():
    found = evaluate_generated(GENERATED, REFERENCES, SETTINGS)
    values = {result.metric: result for result in found.results}
    assert values["match_rate@1/none"].value == pytest.approx(2 / 4)
    assert values["match_rate@2/none"].value == pytest.approx(3 / 4)
    assert not any("@20" in name for name in values), "no request has 20 samples"
    displacement = match(GENERATED[1].crystal, REFERENCES[1])
    assert values["rmse@1/none"].value == pytest.approx(displacement / 2, abs=1e-9)
    assert values["rmse@1/none"].num_samples == 2
    assert values["rmse@2/none"].value == pytest.approx(0, abs=1e-9)
    # The distorted one matches, but not with the space group.
    assert values["strict_match_rate@1/symprec0.1"].value == pytest.approx(1 / 4)
    assert values["strict_match_rate@2/symprec0.1"].value == pytest.approx(3 / 4)
    assert values["metre"].value == pytest.approx(2 / 4)
    assert values["crmse"].value == pytest.approx((displacement + 0.5 + 0.5) / 4, abs=1e-9)
    parameters = values["match_rate@1/none"].parameters
    assert parameters["num_without_samples"] == 1
    assert parameters["num_no_prediction"] == 1
    assert parameters["low"] <= 0.5 <= parameters["high"]
    # Ranks reversed: the exact perovskite is the first sample.
    ranked = [sample("BaTiO3", 0, GENERATED[1].crystal, 2), sample("BaTiO3", 1, perovskite(), 1)]
    again = evaluate_generated(ranked, REFERENCES, SETTINGS)
    assert again.rows["rmse@1/none"][1] == pytest.approx(0, abs=1e-9)


def test_filters_take_out_what_is_not_valid():
    helium = named(rock_salt(11, 2), "NaHe")
    found = evaluate_generated(
        [sample("NaHe", 0, helium), sample("NaCl", 0, rock_salt())],
        [helium, REFERENCES[0]],
        SETTINGS,
    )
    rates = {k: found.rows[f"match_rate@1/{k}"].tolist() for k in ("none", "prediction", "both")}
    assert rates == {"none": [1, 1], "prediction": [0, 1], "both": [0, 1]}
    assert found.per_sample["valid/smact14"] == [False, True]


def test_validity_uniqueness_and_novelty_are_of_all_structures():
    crowded = Crystal(rock_salt().lattice, [[0, 0, 0], [0.01, 0, 0]], [11, 17])
    generated = [
        sample("NaCl", 0, rock_salt()),
        sample("NaCl", 1, rock_salt(edge=5.7)),
        sample("NaCl", 2, crowded),
        sample("KBr", 0, rock_salt(19, 35, 6.6)),
        sample("LiF", 0, None),
    ]
    settings = EvaluationSettings(num_samples=(3,), matching=MatchSettings(num_workers=0))
    found = evaluate_generated(generated, REFERENCES, settings, training=[rock_salt()])
    assert found.per_sample["request"] == ["NaCl", "NaCl", "NaCl", "KBr", "LiF"]
    assert found.per_sample["struct_valid"] == [True, True, False, True, False]
    assert found.per_sample["unique"] == [True, False, True, True, None]
    assert found.per_sample["novel"] == [False, False, True, True, None]
    values = {result.metric: result for result in found.results}
    assert values["struct_valid"].value == pytest.approx(3 / 5)
    assert values["unique"].value == pytest.approx(3 / 4)
    assert values["unique"].num_samples == 4
    assert values["novel"].value == pytest.approx(2 / 4)


def test_strata_are_by_free_coordinates_system_and_atoms():
    moved = distorted(
        perovskite(), [0.03, 0, 0]
    )  # along x alone: polar, so each atom is free there
    groups = [reference_symmetry(each, 0.01) for each in (*REFERENCES, moved)]
    assert [each.free_parameters for each in groups[:4]] == [0, 0, 0, 0]
    assert groups[4].free_parameters > 0
    strata = strata_of([*REFERENCES, moved], groups)
    assert strata["free_parameters=0"].tolist() == [True, True, True, True, False]
    assert strata["num_atoms=1-4"].tolist() == [True, False, True, True, False]
    assert strata["num_atoms=5-10"].tolist() == [False, True, False, False, True]
    assert strata["crystal_system=cubic"].tolist() == [True, True, True, True, False]
    assert strata["crystal_system=tetragonal"].tolist() == [False, False, False, False, True]
    for prefix in ("free_parameters", "num_atoms", "crystal_system"):
        covered = sum(
            inside.astype(int) for name, inside in strata.items() if name.startswith(prefix)
        )
        assert covered.tolist() == [1] * 5
    found = evaluate_generated(GENERATED, REFERENCES, SETTINGS)
    values = {result.metric: result for result in found.results}
    assert values["match_rate@1/none/num_atoms=1-4"].value == pytest.approx(1 / 3)
    assert values["match_rate@1/none/num_atoms=5-10"].num_samples == 1


def test_polymorphs_are_other_crystals_of_the_same_reduced_formula():
    twice = Crystal(
        np.diag([2.0, 1, 1]) @ rock_salt().lattice,
        [[0, 0, 0], [0.25, 0.5, 0.5], [0.5, 0, 0], [0.75, 0.5, 0.5]],
        [11, 17, 11, 17],
        identifier="double",
    )
    training = [twice, named(rock_salt(3, 9, 4.0), "LiF")]
    # LiF of training is the reference itself.
    assert have_polymorph(REFERENCES, training).tolist() == [True, False, False, False]
    found = evaluate_generated(GENERATED, REFERENCES, SETTINGS, training=training)
    values = {result.metric: result for result in found.results}
    assert values["match_rate@1/none/polymorph=yes"].num_samples == 1
    assert values["match_rate@1/none/polymorph=no"].value == pytest.approx(1 / 3)
    without = evaluate_generated(GENERATED, REFERENCES, SETTINGS)
    assert not any("polymorph" in result.metric for result in without.results)


def test_strata_of_the_caller_and_their_differences():
    strata = {
        "kind=salt": [True, False, True, True],
        "kind=none": [False] * 4,
        "num_atoms=1-4": [False, True, False, False],
    }
    first = evaluate_generated(GENERATED, REFERENCES, SETTINGS, strata=strata)
    values = {result.metric: result for result in first.results}
    assert values["match_rate@1/none/kind=salt"].value == pytest.approx(1 / 3)
    assert values["match_rate@2/none/kind=salt"].value == pytest.approx(2 / 3)
    assert values["match_rate@1/none/num_atoms=1-4"].num_samples == 1, "the caller's meaning"
    assert not any("num_atoms=5-10" in name for name in values), "not both meanings at once"
    assert not any("kind=none" in name for name in values), "empty strata are left out"
    second = evaluate_generated([sample("NaCl", 0, rock_salt())], REFERENCES, SETTINGS)
    differences = {each.metric: each for each in paired_differences(first, second)}
    salt = differences["difference/match_rate@1/none/kind=salt"]
    assert (salt.value, salt.num_samples) == (0, 3)
    assert differences["difference/match_rate@1/none/num_atoms=1-4"].value == 1
    for strata in ({"salt": [True] * 4}, {"a=b/c": [True] * 4}, {"a=b=c": [True] * 4}):
        with pytest.raises(InvalidArgumentError, match="name it FAMILY=VALUE"):
            evaluate_generated(GENERATED, REFERENCES, SETTINGS, strata=strata)
    for values in ([True] * 3, [1, 0, 1, 0]):
        with pytest.raises(InvalidArgumentError, match="each of the 4 references needs True or"):
            evaluate_generated(GENERATED, REFERENCES, SETTINGS, strata={"a=b": values})


def test_strata_go_through_a_file(tmp_path):
    path = tmp_path / "strata.csv"
    references = [named(each, f"={each.identifier}") for each in REFERENCES]
    families = {"template": ["yes", "no", "yes", ""], "by, name": ["=a", "b", "b", "b"]}
    write_strata(
        path,
        [*references, named(rock_salt(), "other")],
        {name: [*values, "unused"] for name, values in families.items()},
    )
    strata = read_strata(path, references)
    assert {name: inside.tolist() for name, inside in strata.items()} == {
        "template=no": [False, True, False, False],
        "template=yes": [True, False, True, False],
        "by, name==a": [True, False, False, False],
        "by, name=b": [False, True, True, True],
    }
    # A spreadsheet begins the file with a mark of its own.
    path.write_text("identifier,part\nNaCl,a\nBaTiO3,b\n", encoding="utf-8-sig")
    assert set(read_strata(path, REFERENCES[:2])) == {"part=a", "part=b"}
    with pytest.raises(SourceError, match="no row for 2 of the 4 references: 'KBr', 'LiF'; give"):
        read_strata(path, REFERENCES)
    for text, message in (
        ("name,part\nNaCl,a\n", "has the columns name, part; it needs 'identifier' and one"),
        ("", "the columns of an empty file"),
        ("identifier\nNaCl\n", "one for each family"),
        ("identifier,part\nNaCl,a\nNaCl,b\n", "names a crystal twice"),
    ):
        path.write_text(text)
        with pytest.raises(SourceError, match=message):
            read_strata(path, REFERENCES)
    path.write_bytes(b"identifier,part\n\xff,a\n")
    with pytest.raises(SourceError, match="no text in UTF-8"):
        read_strata(path, REFERENCES)
    with pytest.raises(MissingFileError, match="there is no file"):
        read_strata(tmp_path / "none.csv", REFERENCES)


def test_differences_are_of_the_same_references():
    first = evaluate_generated(GENERATED, REFERENCES, SETTINGS)
    worse = [sample("BaTiO3", 0, SWAPPED), sample("NaCl", 0, distorted(rock_salt(), [0.02, 0, 0]))]
    second = evaluate_generated(worse, REFERENCES, SETTINGS)
    differences = {each.metric: each for each in paired_differences(first, second)}
    rate = differences["difference/match_rate@1/none"]
    rows = first.rows["match_rate@1/none"] - second.rows["match_rate@1/none"]
    assert rate.value == pytest.approx(rows.mean())
    assert rate.parameters["low"] <= rate.value <= rate.parameters["high"]
    both = np.isfinite(first.rows["rmse@1/none"]) & np.isfinite(second.rows["rmse@1/none"])
    assert differences["difference/rmse@1/none"].num_samples == both.sum() > 0
    assert "difference/match_rate@2/none" not in differences, "the other has one sample"


def test_a_part_without_any_match_is_written(tmp_path):
    found = evaluate_generated(GENERATED, REFERENCES, SETTINGS)
    worse = evaluate_generated([sample("NaCl", 0, SWAPPED)], REFERENCES, SETTINGS)
    path = tmp_path / "result.json"
    for first, second in ((found, worse), (worse, found)):
        write_evaluation(path, first, paired_differences(first, second))
        written = {result.metric: result for result in read_results(path)}
        assert written["difference/rmse@1/none"].num_samples == 0
        assert "low" not in written["difference/rmse@1/none"].parameters
    assert np.isnan(written["rmse@1/none/num_atoms=1-4"].value)


def test_requests_without_a_reference_are_named():
    with pytest.raises(SourceError, match=r"1 requests are none of the 4 references: 'NaBr'"):
        evaluate_generated([sample("NaBr", 0, rock_salt())], REFERENCES, SETTINGS)
    with pytest.raises(SourceError, match="2 references are called 'NaCl'"):
        evaluate_generated(GENERATED, [*REFERENCES, REFERENCES[0]], SETTINGS)
    numbered = [sample("0", 0, rock_salt()), sample("3", 0, rock_salt())]
    assert [each.request for each in named_by_position(numbered, REFERENCES)] == ["NaCl", "LiF"]
    with pytest.raises(SourceError, match="structure 3 has no reference; there are 2"):
        named_by_position(numbered, REFERENCES[:2])


@pytest.fixture
def reference(tmp_path):
    folder = tmp_path / "reference"
    folder.mkdir()
    for crystal in REFERENCES:
        (folder / f"{crystal.identifier}.cif").write_text(to_cif(crystal))
    return folder


def run(*arguments):
    return main(["evaluate", *map(str, arguments), "--num-workers", "0"])


def test_files_of_ase_by_name_alone(tmp_path, reference, capsys):
    ase_io = pytest.importorskip("ase.io")
    folder = tmp_path / "generated"
    folder.mkdir()
    for each in GENERATED:
        if each.crystal is not None:
            ase_io.write(folder / f"{each.request}_{each.sample}.cif", to_ase(each.crystal))
    out = tmp_path / "result.json"
    assert run(folder, "--reference", reference, "--k", 1, 2, "--out", out) == 0
    shown = capsys.readouterr().out
    assert "match_rate@2/none" in shown
    assert "75.0 %" in shown
    values = {result.metric: result.value for result in read_results(out)}
    # KBr has its second sample alone, which is its first file.
    assert values["match_rate@1/none"] == pytest.approx(3 / 4)
    assert values["rmse@2/none"] == pytest.approx(0, abs=1e-5)
    assert json.loads(out.read_text())["results"][0]["versions"]["crystal-data"]
    with out.with_suffix(".csv").open() as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert rows["LiF"]["num_samples"] == "0"
    assert rows["BaTiO3"]["match_rate@1/none"] == "1.0"
    with (tmp_path / "result-samples.csv").open() as file:
        assert {row["outcome"] for row in csv.DictReader(file)} == {"match"}


def test_strata_on_the_command_line(tmp_path, reference, capsys):
    strata = tmp_path / "strata.csv"
    write_strata(strata, REFERENCES, {"template": ["yes", "no", "yes", "yes"]})
    other = tmp_path / "other.extxyz"
    other.write_text(to_extxyz([named(SWAPPED, "BaTiO3"), named(rock_salt(), "NaCl")]))
    training = tmp_path / "training.extxyz"
    training.write_text(to_extxyz([named(SWAPPED, "another"), named(rock_salt(), "salt")]))
    out = tmp_path / "result.json"
    given = ("--strata", strata, "--training", training, "--against", other, "--out", out)
    assert run(reference, "--reference", reference, "--k", 1, *given) == 0
    shown = capsys.readouterr().out
    for name in ("template=no", "polymorph=yes", "crystal_system=cubic"):
        assert name in shown
    values = {result.metric: result for result in read_results(out)}
    assert values["difference/match_rate@1/none/template=no"].value == 1
    assert values["match_rate@1/none/polymorph=no"].num_samples == 2
    strata.write_text("identifier,template\nNaCl,yes\n")
    assert run(reference, "--reference", reference, "--strata", strata) == 1
    assert "no row for 3 of the 4 references" in capsys.readouterr().err


def test_our_own_folder_against_a_file_of_many_structures(tmp_path, reference, capsys):
    own = tmp_path / "own"
    counts = Counter(each.request for each in GENERATED)
    requests = [
        GenerationRequest(id=name, formula=name, num_samples=count)
        for name, count in counts.items()
    ]
    with StructureWriter(own, requests) as writer:
        made = (
            GeneratedSample(each.crystal, flags=() if each.crystal else ("failed",))
            for each in GENERATED
        )
        writer.add_all(zip(tasks_of(requests), made, strict=True))
        writer.merge()
    other = tmp_path / "other.extxyz"
    other.write_text(to_extxyz([named(SWAPPED, "BaTiO3"), named(rock_salt(), "NaCl")]))
    assert run(own, "--reference", reference, "--against", other, "--k", 1, "--filter", "both") == 0
    shown = capsys.readouterr().out
    assert "difference/match_rate@1/none" in shown
    assert "match_rate@1/prediction" not in shown
    assert len(read_generated(own)) == len(GENERATED)


def test_files_of_cdvae_are_in_the_order_of_the_references(tmp_path, reference, capsys):
    ordered = sorted(REFERENCES, key=lambda each: each.identifier)
    batch = {
        "frac_coords": np.concatenate([each.frac_coords for each in ordered]),
        "atom_types": np.concatenate([each.atomic_numbers for each in ordered]),
        "num_atoms": [each.num_atoms for each in ordered],
        "lengths": np.array([each.lengths for each in ordered]),
        "angles": np.array([each.angles for each in ordered]),
    }
    torch.save({key: torch.tensor(value)[None] for key, value in batch.items()}, tmp_path / "a.pt")
    assert run(tmp_path / "a.pt", "--reference", reference) == 0
    captured = capsys.readouterr()
    assert "100.0 %" in captured.out
    assert "no request has 20 samples" in captured.err


def test_what_cannot_be_measured_is_said_in_one_line(tmp_path, reference, capsys):
    assert run(tmp_path / "none", "--reference", reference) == 1
    assert "there is no file or folder" in capsys.readouterr().err
    # The generated structures are looked for before the references are read.
    assert run(tmp_path / "none", "--reference", tmp_path / "neither") == 1
    assert "give one with generated structures" in capsys.readouterr().err
    (tmp_path / "Zn_0.cif").write_text(to_cif(rock_salt()))
    assert run(tmp_path / "Zn_0.cif", "--reference", reference) == 1
    assert "1 requests are none of the 4 references" in capsys.readouterr().err
    assert run(reference, "--reference", reference, "--split", "val") == 1
    assert "has no rows of the split 'val'" in capsys.readouterr().err
    assert run(reference, "--reference", reference, "--out", tmp_path / "a.csv") == 1
    assert "name it .json" in capsys.readouterr().err
    assert run(reference, "--reference", reference, "--k", 0) == 1
    assert "at least one sample" in capsys.readouterr().err
