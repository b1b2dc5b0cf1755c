"""Text models: what they read and write, from random weights and from a published checkpoint."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import nn

from crystal_data import Crystal
from crystal_data.artifacts import ArtifactError
from crystal_data.errors import InvalidArgumentError
from crystal_data.io.pymatgen import to_pymatgen
from crystal_data.testing import random_crystals, rock_salt
from crystal_data.testing.moves import reflect, rotate
from crystal_data.text import CifText
from crystal_relax import T5Relaxer, TextRelaxer
from crystal_relax.text.constraint import ChangeConstraint
from crystal_relax.text.decoding import write_changes
from crystal_relax.text.forms import StartBatch
from crystal_relax.text.model import Encoded, Output
from crystal_relax.text.pieces import PieceText
from crystal_relax.text.starts import StartTokenizer, nearest_of_elements
from crystal_relax.text.tokens import ChangeTextError, ChangeTokenizer

SMALL = {"width": 16, "num_layers": 2, "num_heads": 2, "feedforward": 16, "decimals": 2}


def small(output: str = "text", scale: float = 1.0) -> TextRelaxer:
    torch.manual_seed(0)
    model = TextRelaxer(**SMALL, output=output).eval()  # type: ignore[arg-type]
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=scale)
    return model


def like_t5() -> Tokenizer:
    """As that of T5: white space is joined, and some characters have no piece."""
    words = "data_ image cell _length _angle 90. 0000 loop site Na Cl x y z 1.0".split()
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,'\"+-()"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(word, -2.0) for word in words if len(word) > 1] + [(one, -4.0) for one in letters]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 in the hub's format, tokenizer included."""
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=like_t5(), pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=100, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


@given(st.text(max_size=40) | st.text(alphabet="ab {}\n\t<>\\^~▁ﬁ0x", max_size=40))
@settings(max_examples=200, deadline=None)
def test_nothing_is_lost_of_any_text(text: str) -> None:
    pieces = test_nothing_is_lost_of_any_text.__dict__.setdefault("pieces", PieceText(like_t5()))
    text = text.encode(errors="replace").decode()
    assert pieces.decode(pieces.encode(text)) == text


def test_what_the_tokenizer_itself_loses() -> None:
    plain = like_t5()
    for text in ("a\nb", "a  b", "a{b"):
        assert plain.decode(plain.encode(text).ids) != text
    pieces = PieceText(plain)
    cif = CifText(4).encode(rock_salt())
    tokens = pieces.encode(cif)
    assert pieces.decode(tokens) == cif
    # Words that it keeps are its own pieces, as in its training.
    words = pieces.encode("cell length")
    assert words == plain.encode("cell length").ids
    assert 2 not in tokens


@pytest.mark.parametrize("distances", [False, True])
def test_starts_as_digits(distances: bool) -> None:
    tokenizer = StartTokenizer(2, distances)
    salt = rock_salt()
    tokens = tokenizer.encode(salt)
    words = "".join(ChangeTokenizer.VOCABULARY[token] for token in tokens)
    volume = f"{salt.volume / salt.num_atoms:06.2f}".replace(".", "")
    length = f"{salt.lengths[0]:05.2f}".replace(".", "")
    sites = ["Na000000", "Cl505050" if salt.frac_coords[1, 0] == 0.5 else ""]
    if distances:  # half of an edge to the other element, half of a diagonal to the own
        sites = [f"{sites[0]}Cl0282Na0399", f"{sites[1]}Na0282Cl0399"]
    assert words == volume + length * 3 + "06000" * 3 + "".join(sites) + "<eos>"
    # The same slot is the same digit of the same quantity: here of the first and second site.
    slots = tokenizer.slots(salt)
    place, site = tokenizer.head, tokenizer.site(2)
    assert len(slots) == len(tokens) == place + 2 * site + 1
    np.testing.assert_array_equal(slots[place : place + site], slots[place + site : -1])
    assert set(slots.tolist()) == set(range(tokenizer.num_slots))
    nearly = salt.replace(frac_coords=salt.frac_coords - 1e-4)
    np.testing.assert_array_equal(tokenizer.encode(nearly), tokens)
    with pytest.raises(ChangeTextError, match="beyond 99 Å"):
        tokenizer.encode(salt.replace(lattice=salt.lattice * 30))
    with pytest.raises(InvalidArgumentError, match="decimals is 0"):
        StartTokenizer(0)


def test_distances_to_elements_are_those_of_pymatgen() -> None:
    for crystal in random_crystals(12, 3):
        elements, distances = nearest_of_elements(crystal)
        neighbors = to_pymatgen(crystal).get_all_neighbors(12.0)
        for site, found in enumerate(neighbors):
            for column, element in enumerate(elements):
                nearest = min(one.nn_distance for one in found if element == one.specie.Z)
                assert distances[site, column] == pytest.approx(nearest)


def sizes(*counts: int) -> list[Crystal]:
    """Crystals of these numbers of atoms, some in skewed cells."""
    rng = np.random.default_rng(0)
    found = []
    for count in counts:
        lattice = 3.0 * count ** (1 / 3) * (np.eye(3) + 0.6 * np.tril(rng.random((3, 3)), -1))
        numbers = rng.integers(1, 95, count)
        found.append(Crystal(lattice, rng.random((count, 3)), numbers, f"of-{count}"))
    return found


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.0])
def test_an_untrained_model_keeps_the_atoms(temperature: float) -> None:
    starts = sizes(1, 2, 5, 52)
    for of_start, start in zip(
        small().samples(starts, 3, temperature=temperature), starts, strict=True
    ):
        for one in of_start:
            np.testing.assert_array_equal(one.crystal.atomic_numbers, start.atomic_numbers)
            assert np.isfinite(one.crystal.lattice).all()
            assert one.crystal.identifier == start.identifier


@torch.no_grad()
def test_a_cache_and_a_batch_write_what_one_alone_writes_without() -> None:
    model = small(scale=0.5)
    starts = sizes(3, 1, 4)
    together = model.relaxed(starts)
    for start, one in zip(starts, together, strict=True):
        batch = model.start_batch([start])
        constraint = ChangeConstraint(model.tokenizer, [start.atomic_numbers])
        written: list[int] = []
        for place in range(constraint.max_new_tokens):
            tokens = torch.tensor([[*written, ChangeTokenizer.PAD]])
            scores = constraint(tokens, model(batch, tokens)[:, -1])
            written.append(int(scores.argmax()))
            assert len(written) == place + 1
        encoded = Encoded(*model.encoded(batch))
        alone = write_changes(model, encoded, constraint)
        assert alone[0].tolist() == written
        [again] = model.relaxed([start])
        np.testing.assert_array_equal(again.crystal.frac_coords, one.crystal.frac_coords)
        np.testing.assert_array_equal(again.crystal.lattice, one.crystal.lattice)


def test_samples_depend_on_the_start_and_the_seed_alone() -> None:
    model = small(scale=0.1)
    starts = sizes(3, 5)
    both = model.samples(starts, 8, temperature=1.0)
    [alone] = model.samples(starts[:1], 8, temperature=1.0)
    for one, other in zip(both[0], alone, strict=True):
        np.testing.assert_array_equal(one.crystal.lattice, other.crystal.lattice)
    [elsewhere] = model.samples(starts[:1], 8, temperature=1.0, seed=1)
    # Some of these random numbers belong to no cell.
    seen = {one.crystal.lattice.tobytes() for one in alone if not one.note}
    assert len(seen) == sum(not one.note for one in alone) > 1
    assert not seen & {one.crystal.lattice.tobytes() for one in elsewhere if not one.note}
    with pytest.raises(InvalidArgumentError, match="0 samples"):
        model.samples(starts, 0)


@pytest.mark.parametrize("output", ["text", "numbers"])
def test_an_orientation_changes_nothing(output: str) -> None:
    model = small(output, scale=0.2)
    start = sizes(4)[0]
    [expected] = model.relaxed([start])
    rng = np.random.default_rng(0)
    for move in (rotate, reflect):
        [found] = model.relaxed([move(start, rng)])
        np.testing.assert_allclose(found.crystal.lengths, expected.crystal.lengths, atol=1e-6)
        np.testing.assert_allclose(
            found.crystal.frac_coords, expected.crystal.frac_coords, atol=1e-6
        )


def test_heads_predict_the_identity_at_first_and_are_the_same_in_a_batch() -> None:
    start = sizes(4)[0]
    [nothing] = TextRelaxer(**SMALL, output="numbers").eval().relaxed([start])  # type: ignore[arg-type]
    np.testing.assert_allclose(nothing.crystal.lattice, start.lattice, atol=1e-9)
    model = small("numbers", scale=0.2)
    starts = sizes(3, 6)
    for start, one in zip(starts, model.relaxed(starts), strict=True):
        [alone] = model.relaxed([start])
        np.testing.assert_allclose(alone.crystal.lattice, one.crystal.lattice, atol=1e-5)
        assert not np.allclose(one.crystal.frac_coords, start.frac_coords, atol=1e-4)


def test_a_start_without_a_text_is_kept_with_a_note() -> None:
    salt = rock_salt()
    large = salt.replace(lattice=salt.lattice * 30)
    first, second = small().relaxed([large, salt])
    assert "no text holds it" in first.note
    np.testing.assert_array_equal(first.crystal.lattice, large.lattice)
    assert second.crystal.num_atoms == salt.num_atoms


def test_numbers_without_a_cell_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("numbers")
    monkeypatch.setattr(model.cell, "bias", nn.Parameter(torch.tensor([-50.0] * 6)))
    [found] = model.relaxed([rock_salt()])
    assert "no cell has the numbers" in found.note


@pytest.mark.parametrize("output", ["text", "numbers"])
def test_an_artifact_gives_the_same_predictions(output: str, tmp_path: Path) -> None:
    model = small(output, scale=0.3)
    model.save_pretrained(tmp_path / "model")
    again = TextRelaxer.from_pretrained(tmp_path / "model").eval()
    # One embedding, of which three parts of T5 have copies.
    assert sum("shared" in name or "embed_tokens" in name for name in again.state_dict()) == 1
    starts = sizes(3, 4)
    for one, other in zip(model.relaxed(starts), again.relaxed(starts), strict=True):
        np.testing.assert_array_equal(one.crystal.lattice, other.crystal.lattice)


@pytest.mark.parametrize("output", ["text", "numbers"])
def test_a_published_checkpoint(output: str, checkpoint: Path, tmp_path: Path) -> None:
    from transformers import T5ForConditionalGeneration

    model = T5Relaxer(str(checkpoint), output=output).eval()  # type: ignore[arg-type]
    published = T5ForConditionalGeneration.from_pretrained(checkpoint).eval()
    start = sizes(3)[0]
    batch = model.start_batch([start])
    # The encoder is the published one, on the CIF.
    tokens = batch.tokens.clamp(max=99)
    with torch.no_grad():
        expected = published.encoder(tokens).last_hidden_state
        found = model.encoded(batch._replace(tokens=tokens)).states
    torch.testing.assert_close(found, expected)
    rows, places = batch.site_places
    assert (batch.tokens[rows, places] == model.form.pieces.newline).all()  # type: ignore[attr-defined]
    starts = [*sizes(1, 3), *random_crystals(2, seed=3, max_atoms=6)]
    relaxed = model.relaxed(starts)
    for start, one in zip(starts, relaxed, strict=True):
        np.testing.assert_array_equal(one.crystal.atomic_numbers, start.atomic_numbers)
    model.save_pretrained(tmp_path / "model")
    again = T5Relaxer.from_pretrained(tmp_path / "model").eval()
    for one, other in zip(relaxed, again.relaxed(starts), strict=True):
        np.testing.assert_array_equal(one.crystal.lattice, other.crystal.lattice)


@pytest.mark.parametrize("output", ["text", "numbers"])
def test_low_rank_adaptation(output: Output, checkpoint: Path, tmp_path: Path) -> None:
    """It learns, the published layers stay, and the artifact is that of a model without it."""
    torch.manual_seed(0)  # of the embeddings of new tokens
    plain = T5Relaxer(str(checkpoint), output=output).eval()
    torch.manual_seed(0)
    model = T5Relaxer(str(checkpoint), output=output, lora_rank=2)
    learned = {name: one for name, one in model.named_parameters() if one.requires_grad}
    parts = {name.rpartition(".")[0].rpartition(".")[2] for name in learned if "lora" not in name}
    assert parts == {"shared"} | ({"cell", "sites"} if output == "numbers" else set())
    [start] = starts = sizes(3)
    batch = model.eval().start_batch(starts)
    torch.testing.assert_close(model.encoded(batch).states, plain.encoded(batch).states)
    nn.utils.vector_to_parameters(
        0.2 * torch.randn(sum(one.numel() for one in learned.values())), learned.values()
    )
    assert (model.encoded(batch).states - plain.encoded(batch).states).abs().max() > 0.01
    model.save_pretrained(tmp_path / "model")
    again = T5Relaxer.from_pretrained(tmp_path / "model").eval()
    assert set(again.state_dict()) == set(plain.state_dict())
    found, expected = again.encoded(batch).states, model.encoded(batch).states
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    layer = "t5.encoder.block.0.layer.1.DenseReluDense.wi.weight"
    torch.testing.assert_close(again.state_dict()[layer], plain.state_dict()[layer])
    (kept,) = again.relaxed(starts)
    np.testing.assert_array_equal(kept.crystal.atomic_numbers, start.atomic_numbers)


def test_no_checkpoint(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(ArtifactError, match="no T5 can be loaded"):
        T5Relaxer(str(tmp_path))
    with pytest.raises(ArtifactError, match="no T5 can be loaded"):
        T5Relaxer(str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(ArtifactError, match="architecture bert"):
        T5Relaxer(str(tmp_path))


def test_bad_arguments() -> None:
    with pytest.raises(InvalidArgumentError, match="a multiple of num_heads"):
        TextRelaxer(width=10, num_heads=3)
    with pytest.raises(InvalidArgumentError, match="lora_rank is -1"):
        T5Relaxer("t5-small", lora_rank=-1)
    with pytest.raises(InvalidArgumentError, match="output is 'sound'"):
        TextRelaxer(output="sound")  # type: ignore[arg-type]
    model = small()
    batch = StartBatch.of([model.form.encode(rock_salt())], 0)
    with pytest.raises(InvalidArgumentError, match="there are none"):
        model(batch)
