"""Generated structures are written once, whole, and the same whoever made them and when."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crystal_data.errors import SourceError
from crystal_data.generation import (
    GeneratedSample,
    GenerationFolderError,
    GenerationRequest,
    StructureWriter,
    Task,
    generate_all,
    read_generated,
    tasks_of,
)
from crystal_data.io.cif import parse_cif
from crystal_data.testing import ToyGenerator, rock_salt, toy_requests

SUMMARY = "request,sample,rank,score,file,formula,space_group_number,source,flags,probability,why"


def files_of(folder):
    """Content of every file that is not hidden."""
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name[0] != "."]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    generate_all(ToyGenerator(), toy_requests(), folder)
    return files_of(folder)


def test_what_a_folder_holds(undisturbed, tmp_path):
    result = generate_all(ToyGenerator(), toy_requests(), tmp_path / "out")
    assert (result.num_samples, result.num_missing) == (36, 0)
    assert files_of(tmp_path / "out") == undisturbed
    folders = ("cif/", "symmetrized/")
    names = {name for name in undisturbed if not name.startswith(folders)}
    assert names == {"generation.json", "samples.jsonl", "structures.extxyz", "summary.csv"}
    rows = list(csv.DictReader((tmp_path / "out/summary.csv").read_text().splitlines()))
    assert ",".join(rows[0]) == SUMMARY
    assert [row["request"] for row in rows[::4]] == [r.id for r in toy_requests()]
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"] * 9
    scores = [float(row["score"]) for row in rows[:4]]
    assert scores == sorted(scores, reverse=True)
    plain, symmetric = (
        {x.removeprefix(f) for x in undisturbed if x.startswith(f)} for f in folders
    )
    assert plain == symmetric
    salt = undisturbed["symmetrized/salt_0.cif"].decode()
    assert salt.count("  Na  ") == salt.count("  Cl  ") == 1  # orbits, not atoms
    assert parse_cif(salt).composition == {"Na": 4, "Cl": 4}
    spinel = [row for row in rows if row["request"] == "spinel"]
    assert {(row["formula"], row["space_group_number"]) for row in spinel} == {("MgAl2O4", "227")}
    assert all((tmp_path / "out" / row["file"]).is_file() for row in rows)
    about = json.loads((tmp_path / "out/generation.json").read_text())
    assert about["generator"] == {"name": "ToyGenerator"}
    assert [GenerationRequest.from_dict(x).key for x in about["requests"]] == [
        request.key for request in toy_requests()
    ]


@pytest.mark.parametrize("read", ["folder", "extxyz"])
def test_the_folder_is_read_back(tmp_path, read):
    requests = [*toy_requests(3), GenerationRequest(id="open", elements=("Li", "O"))]
    generate_all(ToyGenerator(), requests, tmp_path)
    found = read_generated(tmp_path if read == "folder" else tmp_path / "structures.extxyz")
    tasks = tasks_of(requests)
    if read == "extxyz":  # has no place for what is no crystal
        tasks = tasks[:-1]
    assert [(s.request, s.sample) for s in found] == [(t.request.id, t.sample) for t in tasks]
    for structure, made in zip(found, ToyGenerator().generate(tasks), strict=True):
        assert structure.score == made.score
        if made.crystal is None:
            assert (structure.crystal, structure.flags) == (None, ("not_supported",))
            continue
        np.testing.assert_allclose(structure.crystal.lengths, made.crystal.lengths, atol=1e-9)
        delta = structure.crystal.frac_coords - made.crystal.frac_coords
        np.testing.assert_allclose(delta - np.rint(delta), 0, atol=1e-9)


@pytest.mark.parametrize("block_size", [1, 5, 36])
def test_other_blocks_make_the_same_files(undisturbed, tmp_path, block_size):
    generate_all(ToyGenerator(), toy_requests(), tmp_path, block_size=block_size)
    assert files_of(tmp_path) == undisturbed


def test_two_processes_make_the_same_files(undisturbed, tmp_path):
    generate_all(ToyGenerator(), toy_requests(), tmp_path, block_size=3, num_processes=2)
    assert files_of(tmp_path) == undisturbed


DYING = """
import os
from crystal_data.testing import ToyGenerator

class Dying(ToyGenerator):
    provenance = ToyGenerator().provenance

    def generate(self, tasks):
        if any(task.request.id == "hexagonal" for task in tasks):
            os._exit(9)
        return super().generate(tasks)
"""


def test_a_process_that_dies_says_so(undisturbed, tmp_path, monkeypatch):
    (tmp_path / "dying_generator.py").write_text(DYING)
    monkeypatch.syspath_prepend(tmp_path)
    import dying_generator

    with pytest.raises(RuntimeError, match=r"one of 2 processes died, .* run the same again"):
        generate_all(
            dying_generator.Dying(), toy_requests(), tmp_path / "out", block_size=4, num_processes=2
        )
    generate_all(ToyGenerator(), toy_requests(), tmp_path / "out")
    assert files_of(tmp_path / "out") == undisturbed


def test_nothing_heavy_is_imported(tmp_path):
    code = (
        "import sys; from crystal_data.generation import generate_all, read_generated; "
        "from crystal_data.testing import ToyGenerator, toy_requests; "
        f"generate_all(ToyGenerator(), toy_requests(1), {str(tmp_path)!r}); "
        f"read_generated({str(tmp_path)!r}); "
        "print({'torch', 'pymatgen', 'pandas'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_three_calls_make_the_same_files(undisturbed, tmp_path):
    missing = [
        generate_all(
            ToyGenerator(), toy_requests(), tmp_path, block_size=5, rank=rank, world_size=3
        ).num_missing
        for rank in (2, 0, 1)
    ]
    assert missing == [26, 11, 0]
    assert files_of(tmp_path) == undisturbed


class Interrupted(ToyGenerator):
    """Ends in the middle of its third block."""

    provenance = ToyGenerator().provenance

    def __init__(self):
        self.blocks = 0

    def generate(self, tasks):
        self.blocks += 1
        if self.blocks == 3:
            raise KeyboardInterrupt
        return super().generate(tasks)


def interrupted(folder, num_samples=4, block_size=4):
    requests = toy_requests(num_samples)
    with pytest.raises(KeyboardInterrupt):
        generate_all(Interrupted(), requests, folder, block_size=block_size)
    (shard,) = (folder / "shards").glob("*.jsonl")
    return shard


def test_an_unfinished_folder_is_not_read(tmp_path):
    interrupted(tmp_path)
    with pytest.raises(SourceError, match="is not finished; run the same command again"):
        read_generated(tmp_path)


def test_what_is_done_is_not_made_again(undisturbed, tmp_path):
    interrupted(tmp_path)
    made = []

    class Counting(ToyGenerator):
        provenance = ToyGenerator().provenance

        def generate(self, tasks):
            made.extend(tasks)
            return super().generate(tasks)

    generate_all(Counting(), toy_requests(), tmp_path, block_size=4)
    assert len(made) == 36 - 8
    assert files_of(tmp_path) == undisturbed
    made.clear()
    generate_all(Counting(), toy_requests(), tmp_path, block_size=4)
    assert not made
    assert files_of(tmp_path) == undisturbed


def test_a_row_that_is_cut_anywhere_is_made_again(tmp_path):
    generate_all(ToyGenerator(), toy_requests(1), tmp_path / "whole")
    expected = files_of(tmp_path / "whole")
    shard = interrupted(tmp_path / "first", num_samples=1, block_size=2)
    whole = shard.read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n") + 1
    cuts = [0, 1, last - 1, last, last + 1, last + 8, last + 9, len(whole) - 2, len(whole) - 1]
    for cut in [*cuts, *random.Random(0).sample(range(len(whole)), 6)]:
        folder = tmp_path / f"cut-{cut}"
        shutil.copytree(tmp_path / "first", folder)
        (folder / "shards" / shard.name).write_bytes(whole[:cut])
        generate_all(ToyGenerator(), toy_requests(1), folder)
        assert files_of(folder) == expected


class LastDigits(ToyGenerator):
    """Its numbers depend, a little, on all samples of a block, as those of a network do."""

    provenance = ToyGenerator().provenance

    def generate(self, tasks):
        scale = 1 + 1e-12 * sum(task.seed % 1000 for task in tasks)
        return [
            replace(made, crystal=made.crystal.replace(lattice=made.crystal.lattice * scale))
            for made in super().generate(tasks)
        ]


def test_last_digits_of_a_block_survive_a_cut(tmp_path):
    requests = toy_requests(2)
    generate_all(LastDigits(), requests, tmp_path / "whole", block_size=4)
    expected = files_of(tmp_path / "whole")
    generate_all(LastDigits(), requests, tmp_path / "blocks", block_size=3)
    assert files_of(tmp_path / "blocks") != expected
    lines = expected["samples.jsonl"].splitlines(keepends=True)
    for kept in (1, 6):  # both within a block
        folder = tmp_path / f"kept-{kept}"
        (folder / "shards").mkdir(parents=True)
        (folder / "shards/1-2.jsonl").write_bytes(b"".join(lines[:kept]) + lines[kept][:50])
        generate_all(LastDigits(), requests, folder, block_size=4)
        assert files_of(folder) == expected
        # With other blocks what is done stays as it is.
        generate_all(LastDigits(), requests, folder, block_size=3)
        assert files_of(folder) == expected


def test_samples_of_other_blocks_stay(tmp_path):
    requests = toy_requests(2)
    generate_all(LastDigits(), requests, tmp_path / "whole", block_size=4)
    lines = files_of(tmp_path / "whole")["samples.jsonl"].splitlines(keepends=True)
    (tmp_path / "out/shards").mkdir(parents=True)
    (tmp_path / "out/shards/1-2.jsonl").write_bytes(b"".join(lines[:5]))
    generate_all(LastDigits(), requests, tmp_path / "out", block_size=3)
    assert files_of(tmp_path / "out")["samples.jsonl"].splitlines(keepends=True)[:5] == lines[:5]


def test_damage_within_a_row_is_seen(undisturbed, tmp_path):
    shard = interrupted(tmp_path)
    whole = bytearray(shard.read_bytes())
    whole[len(whole) // 2] ^= 1
    shard.write_bytes(whole)
    generate_all(ToyGenerator(), toy_requests(), tmp_path)
    assert files_of(tmp_path) == undisturbed


def test_a_kill_while_files_are_merged(undisturbed, tmp_path, monkeypatch):
    from crystal_data.generation import merged_files

    for name in ("to_extxyz", "csv_text"):

        def killed(*_):
            raise KeyboardInterrupt

        folder = tmp_path / name
        with monkeypatch.context() as context:
            context.setattr(merged_files, name, killed)
            with pytest.raises(KeyboardInterrupt):
                generate_all(ToyGenerator(), toy_requests(), folder)
        (folder / ".1234.tmp").write_text("left by a kill")
        (folder / ".cif.building-1234").mkdir()
        assert not (folder / "summary.csv").exists()
        generate_all(ToyGenerator(), toy_requests(), folder)
        assert files_of(folder) == undisturbed
        assert not list(folder.glob(".*.tmp"))
        assert not list(folder.glob(".cif.building-*"))


def test_rows_that_were_merged_before_a_kill_count_once(undisturbed, tmp_path):
    shard = interrupted(tmp_path)
    kept = shard.read_bytes()
    generate_all(ToyGenerator(), toy_requests(), tmp_path)
    shard.parent.mkdir()
    shard.write_bytes(kept)
    generate_all(ToyGenerator(), toy_requests(), tmp_path)
    assert files_of(tmp_path) == undisturbed


def test_more_samples_and_requests_are_added(undisturbed, tmp_path):
    generate_all(ToyGenerator(), toy_requests(2)[:4], tmp_path)
    generate_all(ToyGenerator(), toy_requests(), tmp_path)
    assert files_of(tmp_path) == undisturbed


def test_samples_without_a_crystal_are_rows(tmp_path):
    request = GenerationRequest(id="open", elements=("Li", "O"), num_samples=2)
    generate_all(ToyGenerator(), [request], tmp_path)
    lines = (tmp_path / "summary.csv").read_text().splitlines()
    assert lines[1:] == ["open,0,1,,,,,toy,not_supported,,", "open,1,2,,,,,toy,not_supported,,"]
    assert not list((tmp_path / "cif").iterdir())
    found = read_generated(tmp_path)
    assert [(s.crystal, s.flags) for s in found] == [(None, ("not_supported",))] * 2


def test_probabilities_and_reasons_are_columns(tmp_path):
    (request,) = [GenerationRequest(id="a", formula="NaCl", num_samples=2)]
    with StructureWriter(tmp_path, [request]) as writer:
        made = GeneratedSample(rock_salt(), 0.5, "noise", (), 0.25, "made from noise, for Fm-3m")
        writer.add(Task(request, 0), made)
        writer.add(Task(request, 1), GeneratedSample(rock_salt(), 0.4, "noise"))
        writer.merge()
    lines = (tmp_path / "summary.csv").read_text().splitlines()
    assert lines[1] == 'a,0,1,0.5,cif/a_0.cif,NaCl,225,noise,,0.25,"made from noise, for Fm-3m"'
    assert lines[2] == "a,1,2,0.4,cif/a_1.cif,NaCl,225,noise,,,"
    # The rows are there to be added to.
    with StructureWriter(tmp_path, [request]) as writer:
        assert writer.missing() == []
        writer.merge()
    assert (tmp_path / "summary.csv").read_text().splitlines() == lines


def test_ranks(tmp_path):
    (request,) = [GenerationRequest(id="=a/b", formula="NaCl", num_samples=5)]
    scores = [0.1, None, 0.9, 0.5, 0.9]
    with StructureWriter(tmp_path, [request]) as writer:
        for task, score in zip(tasks_of([request]), scores, strict=True):
            crystal = None if task.sample == 3 else rock_salt()
            flags = () if crystal else ("failed", "late")
            writer.add(task, GeneratedSample(crystal, score, "made", flags))
        writer.merge()
    rows = {s.sample: s for s in read_generated(tmp_path)}
    assert {sample: s.rank for sample, s in rows.items()} == {0: 3, 1: 4, 2: 1, 3: 5, 4: 2}
    assert rows[3].flags == ("failed", "late")
    assert rows[0].request == "=a/b"
    assert Path(rows[0].file) == tmp_path / "cif/=a_b_0.cif"


def test_merging_too_early_is_refused(tmp_path):
    with StructureWriter(tmp_path, toy_requests()) as writer:
        writer.add(Task(toy_requests()[7], 1), GeneratedSample(rock_salt()))
        assert len(writer.missing()) == 35
        with pytest.raises(GenerationFolderError, match="35 of 36 samples are missing; run"):
            writer.merge()


def test_what_does_not_belong_is_refused(tmp_path):
    request = GenerationRequest(id="a", formula="NaCl", num_samples=2)
    other = GenerationRequest(id="a", formula="KCl", num_samples=2)
    with StructureWriter(tmp_path, [request], {"name": "one"}) as writer:
        with pytest.raises(ValueError, match="sample 2 of request 'a' is not asked"):
            writer.add(Task(request, 2), GeneratedSample(rock_salt()))
        with pytest.raises(ValueError, match="sample 0 of request 'a' is not asked"):
            writer.add(Task(other, 0), GeneratedSample(rock_salt()))
        writer.add(Task(request, 1), GeneratedSample(rock_salt()))
    with pytest.raises(GenerationFolderError, match="samples of another request 'a'; choose"):
        StructureWriter(tmp_path, [other], {"name": "one"})
    with pytest.raises(GenerationFolderError, match="samples of another generator; choose"):
        StructureWriter(tmp_path, [request], {"name": "two"})
    fewer = GenerationRequest(id="a", formula="NaCl", num_samples=1)
    with pytest.raises(GenerationFolderError, match="sample 1 of request 'a', which is not asked"):
        StructureWriter(tmp_path, [fewer], {"name": "one"})
    with pytest.raises(ValueError, match="two requests have the id 'a'"):
        StructureWriter(tmp_path, [request, other])


def test_a_sample_made_twice_differently_is_refused(tmp_path):
    request = GenerationRequest(id="a", formula="NaCl")
    writers = [StructureWriter(tmp_path, [request]) for _ in range(2)]
    for edge, writer in zip((5.0, 5.1), writers, strict=True):
        with writer:
            writer.add(Task(request, 0), GeneratedSample(rock_salt(edge=edge)))
    with pytest.raises(GenerationFolderError, match="two processes made sample 0 of request 'a'"):
        writers[0].merge()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crystal": None}, "needs a flag"),
        ({"crystal": None, "flags": ("a;b",)}, "no word without semicolons"),
        ({"crystal": rock_salt(), "score": np.nan}, "not finite"),
        ({"crystal": rock_salt(), "probability": 1.5}, "not from 0 to 1"),
        ({"crystal": rock_salt(), "why": "a\nb"}, "no line of text"),
        (
            {"crystal": rock_salt().replace(properties={"forces": np.zeros((2, 3))})},
            "the property forces of a generated crystal is a ndarray",
        ),
    ],
)
def test_samples_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        GeneratedSample(**arguments)


@pytest.mark.parametrize(
    "numbers",
    [{"block_size": 0}, {"num_processes": 0}, {"rank": 1}, {"rank": -1}],
)
def test_numbers_are_checked(tmp_path, numbers):
    with pytest.raises(ValueError, match="have to be at least 1"):
        generate_all(ToyGenerator(), toy_requests(), tmp_path, **numbers)
    with pytest.raises(ValueError, match="there are no requests"):
        generate_all(ToyGenerator(), [], tmp_path)


SCRIPT = """
import sys, time
from crystal_data.generation import generate_all
from crystal_data.testing import ToyGenerator, toy_requests

class Slow(ToyGenerator):
    provenance = ToyGenerator().provenance
    def generate(self, tasks):
        time.sleep(0.005 * len(tasks))
        return super().generate(tasks)

folder, num_samples, block_size, rank, world_size = sys.argv[1:]
generate_all(Slow(), toy_requests(int(num_samples)), folder, block_size=int(block_size),
             rank=int(rank), world_size=int(world_size))
"""


def started(folder, num_samples, block_size, rank=0, world_size=1):
    numbers = map(str, (num_samples, block_size, rank, world_size))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), *numbers], env=environment)


def size_of_shards(folder):
    return sum(path.stat().st_size for path in (folder / "shards").glob("*.jsonl"))


def kill_again_and_again(folder, kills, num_samples, seed, total):
    """SIGKILL at random moments: between two growing sizes of what was written, or in the merge."""
    rng = random.Random(seed)
    moments = sorted(rng.uniform(0, 1.05) * total for _ in range(kills))
    killed = 0
    for moment in moments:
        process = started(folder, num_samples, rng.choice((1, 4, 7)))
        while process.poll() is None and size_of_shards(folder) < min(moment, 0.999 * total):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert started(folder, num_samples, 5).wait() == 0
    return killed


def total_of(tmp_path, num_samples):
    """Bytes of all rows, and the files of an undisturbed run."""
    generate_all(ToyGenerator(), toy_requests(num_samples), tmp_path / "whole")
    files = files_of(tmp_path / "whole")
    return len(files["samples.jsonl"]), files


def test_a_kill_is_made_good(tmp_path):
    total, expected = total_of(tmp_path, 4)
    assert kill_again_and_again(tmp_path / "out", 1, 4, seed=2, total=total) == 1
    assert files_of(tmp_path / "out") == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_ten_kills_are_made_good(tmp_path, seed):
    total, expected = total_of(tmp_path, 40)
    assert kill_again_and_again(tmp_path / "out", 10, 40, seed, total) >= 9
    assert files_of(tmp_path / "out") == expected


@pytest.mark.slow
def test_kills_among_two_processes_are_made_good(tmp_path):
    total, expected = total_of(tmp_path, 40)
    folder, rng = tmp_path / "out", random.Random(3)
    for share in (0.2, 0.5, 0.8):
        pair = [started(folder, 40, 4, rank, 2) for rank in range(2)]
        while size_of_shards(folder) < share * total:
            time.sleep(0.002)
        rng.shuffle(pair)
        for process in pair:
            process.send_signal(signal.SIGKILL)
            process.wait()
            time.sleep(rng.uniform(0, 0.05))
    pair = [started(folder, 40, 4, rank, 2) for rank in range(2)]
    assert [process.wait() for process in pair] == [0, 0]
    assert files_of(folder) == expected


def test_a_sample_may_be_changed_before_it_is_added(tmp_path):
    request = toy_requests(1)[7]
    (made,) = ToyGenerator().generate([Task(request, 0)])
    with StructureWriter(tmp_path, [request]) as writer:
        writer.add(Task(request, 0), replace(made, flags=("checked",)))
        writer.merge()
    assert read_generated(tmp_path)[0].flags == ("checked",)
