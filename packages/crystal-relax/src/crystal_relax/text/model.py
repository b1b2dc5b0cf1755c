"""T5 on the text of a start, which writes what a relaxation changes."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data.crystal import Crystal
from crystal_data.errors import CrystalError, InvalidArgumentError
from crystal_data.trajectories import change_between, changed
from crystal_relax.model import Prediction, RelaxationModel
from crystal_relax.symmetric import symmetrized
from crystal_relax.text.changes import TextChange, apply_text_change
from crystal_relax.text.constraint import ChangeConstraint
from crystal_relax.text.decoding import write_changes
from crystal_relax.text.forms import CompactForm, StartBatch, StartForm
from crystal_relax.text.tokens import ChangeTokenizer

Output = Literal["text", "numbers"]

# Copies of one matrix, of which the file of the weights holds one.
_COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
_HEAD = "lm_head.weight"
_NO_CELL = "no cell has the numbers that were predicted; the start is kept"


class Encoded(NamedTuple):
    """Starts as the encoder leaves them.

    Args:
        states: ``[num_rows, length, width]``.
        mask: 1 where there is a token; ``[num_rows, length]``.
    """

    states: Tensor
    mask: Tensor


class TextRelaxer(RelaxationModel):
    """Reads a start as text and writes what its relaxation changes: T2-Relax with its own T5.

    The start is written digit by digit with a vocabulary of 133 tokens (``StartTokenizer``), the
    change likewise (``ChangeTokenizer``): differences of a, b, c, α, β, γ and of the fractional
    coordinates. What is written keeps to the elements, their order and number, whatever the
    weights are (``ChangeConstraint``). Since digits of the same place of the same quantity stand at
    fixed places, an embedding of the place is added to that of the token.

    Of a change only what keeps the symmetry of the start is predicted (``symmetrized``).

    Predictions do not depend on rotations and reflections, exactly. They do on the origin, the
    images, the order of the atoms and the choice of the cell; ``RandomTranslation`` and
    ``RandomCell`` show a training more of these.

    Args:
        width: Channels.
        num_layers: Of the encoder, and of the decoder.
        num_heads: Of attention.
        feedforward: Channels between.
        dropout: Share of values that are dropped in training.
        decimals: Of the numbers of starts and changes.
        output: ``"numbers"`` reads the change from the encoder by linear heads, from its last state
            and those of the elements, and writes no text.
        distances: Starts also say how far the nearest atom of each element is from each site.

    Source:
        T2-Relax: text to text with differences as targets. T5: Raffel et al., arXiv 1910.10683.

    Raises:
        InvalidArgumentError: If a number is out of its range.
    """

    def __init__(
        self,
        width: int = 128,
        num_layers: int = 3,
        num_heads: int = 4,
        feedforward: int = 512,
        dropout: float = 0.0,
        decimals: int = 3,
        output: Output = "text",
        distances: bool = True,
    ) -> None:
        super().__init__()
        if min(width, num_layers, num_heads, feedforward) < 1 or width % num_heads:
            raise InvalidArgumentError(
                f"width {width}, num_layers {num_layers}, num_heads {num_heads} and feedforward "
                f"{feedforward} have to be at least 1, and width a multiple of num_heads"
            )
        config = {
            "vocab_size": len(ChangeTokenizer.VOCABULARY),
            "d_model": width,
            "d_kv": width // num_heads,
            "d_ff": feedforward,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "dropout_rate": dropout,
            "relative_attention_max_distance": 512,
            "pad_token_id": ChangeTokenizer.PAD,
            "eos_token_id": ChangeTokenizer.EOS,
            "decoder_start_token_id": ChangeTokenizer.BOS,
        }
        self._build(config, CompactForm(decimals, distances), decimals, output)

    def _build(
        self, config: Mapping[str, Any], form: StartForm, decimals: int, output: Output
    ) -> None:
        from transformers import T5Config, T5ForConditionalGeneration

        if output not in ("text", "numbers"):
            raise InvalidArgumentError(f"output is {output!r}; it is 'text' or 'numbers'")
        self.form, self.output = form, output
        self.tokenizer = ChangeTokenizer(decimals)
        # Not typed: transformers' own types do not know a model without a decoder.
        self.t5: Any = T5ForConditionalGeneration(T5Config.from_dict(dict(config)))
        width = int(self.t5.config.d_model)
        self._ids: Tensor
        self.register_buffer("_ids", torch.tensor(form.change_ids), persistent=False)
        if form.num_slots:
            self.start_slots = nn.Embedding(form.num_slots, width)
            self.change_slots = nn.Embedding(1 + self.tokenizer.num_slots, width)
        if output == "numbers":
            # At the start of a training nothing changes: the prediction is the identity.
            self.cell, self.sites = nn.Linear(width, 6), nn.Linear(width, 3)
            for weight in (*self.cell.parameters(), *self.sites.parameters()):
                nn.init.zeros_(weight)
            del self.t5.decoder
        self.register_state_dict_post_hook(_drop_copies)
        self.register_load_state_dict_pre_hook(_restore_copies)

    @override
    def forward(self, starts: StartBatch, tokens: Tensor | None = None) -> Tensor:
        """Scores of the tokens of changes, each from those before it; in mode "text".

        Args:
            starts: On the device of the model.
            tokens: Of ``ChangeTokenizer``, padded; int64 ``[num_crystals, length]``.

        Returns:
            ``[num_crystals, length, num_tokens]``.
        """
        if tokens is None:
            raise InvalidArgumentError("scores are those of tokens, and there are none")
        first = torch.full_like(tokens[:, :1], ChangeTokenizer.BOS)
        before = torch.cat((first, tokens[:, :-1]), dim=1)
        return self._decoded(before, 0, self.encoded(starts), None)[0]

    def encoded(self, starts: StartBatch) -> Encoded:
        """Starts as the encoder leaves them."""
        embedded = self.t5.shared(starts.tokens)
        if self.form.num_slots:
            embedded = embedded + self.start_slots(starts.slots)
        found = self.t5.encoder(inputs_embeds=embedded, attention_mask=starts.mask)
        return Encoded(found.last_hidden_state, starts.mask)

    def next_scores(
        self, tokens: Tensor, first: int, encoded: Encoded, cache: Any
    ) -> tuple[Tensor, Any]:
        """Scores of the next token.

        Args:
            tokens: Those that the decoder has not seen; int64 ``[num_rows, count]``.
            first: Place of the first of them, counted from the start token.
            encoded: Starts.
            cache: What this gave before; None at the start.

        Returns:
            ``[num_rows, num_tokens]`` and the cache.
        """
        scores, cache = self._decoded(tokens, first, encoded, cache, use_cache=True)
        return scores[:, -1], cache

    def _decoded(
        self, tokens: Tensor, first: int, encoded: Encoded, cache: Any, use_cache: bool = False
    ) -> tuple[Tensor, Any]:
        embedded = self.t5.shared(self._ids[tokens])
        if self.form.num_slots:
            slots = self.tokenizer.slots(first, tokens.shape[1])
            embedded = embedded + self.change_slots(torch.from_numpy(slots).to(tokens.device))
        found = self.t5.decoder(
            inputs_embeds=embedded,
            encoder_hidden_states=encoded.states,
            encoder_attention_mask=encoded.mask,
            cache=cache,
            use_cache=use_cache,
        )
        states = found.last_hidden_state
        if self.t5.config.scale_decoder_outputs:
            states = states * states.shape[-1] ** -0.5
        # Of all that a published model might write the tokens of changes alone are asked for.
        return states @ self.t5.lm_head.weight[self._ids].T, found.cache

    def numbers(
        self, encoded: Encoded, starts: StartBatch, lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The change as numbers; in mode "numbers".

        Args:
            encoded: Starts.
            starts: The same, as tokens.
            lengths: a, b, c of each site's crystal; ``[num_atoms, 3]``, Å.

        Returns:
            Differences of a, b, c (Å), α, β, γ (degrees) ``[num_crystals, 6]`` and of fractional
            coordinates ``[num_atoms, 3]``.
        """
        ends = encoded.mask.sum(dim=1) - 1
        rows = torch.arange(len(ends), device=ends.device)
        cell = self.cell(encoded.states[rows, ends])
        return cell, self.sites(encoded.states[starts.site_places]) / lengths

    def start_batch(self, starts: Sequence[Crystal]) -> StartBatch:
        """Tokens of starts, on the device of the model.

        Raises:
            CrystalError: If no text holds one of them.
        """
        return StartBatch.of([self.form.encode(one) for one in starts], self.form.pad).to(
            self._ids.device
        )

    @override
    def relaxed(self, starts: Sequence[Crystal]) -> list[Prediction]:
        return [one for [one] in self.samples(starts)]

    @torch.no_grad()
    def samples(
        self,
        starts: Sequence[Crystal],
        count: int = 1,
        *,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[list[Prediction]]:
        """Several predictions of each start.

        Args:
            starts: A start that no text holds is its own prediction, with a note.
            count: Of each.
            temperature: 0 always takes the likeliest token; mode "numbers" does not use it.
            seed: Of what is drawn; beside it the start alone decides.

        Returns:
            ``count`` predictions of each start.

        Raises:
            InvalidArgumentError: If the count or the temperature is out of its range.
        """
        if count < 1 or not temperature >= 0:
            raise InvalidArgumentError(
                f"{count} samples at temperature {temperature}; at least one, at 0 or more"
            )
        found: list[list[Prediction]] = []
        written, places = [], []
        for place, start in enumerate(starts):
            try:
                written.append(self.form.encode(start))
            except CrystalError as error:
                found.append([Prediction(start, f"no text holds it: {error}")] * count)
            else:
                places.append(place)
                found.append([])
        if not places:
            return found
        chosen = [starts[place] for place in places]
        batch = StartBatch.of(written, self.form.pad).to(self._ids.device)
        changes = (
            self._write(chosen, batch, count, temperature, seed)
            if self.output == "text"
            else [[one] * count for one in self._read(chosen, batch)]
        )
        for place, start, of_start in zip(places, chosen, changes, strict=True):
            found[place] = [_prediction(start, change) for change in of_start]
        return found

    def _write(
        self,
        starts: Sequence[Crystal],
        batch: StartBatch,
        count: int,
        temperature: float,
        seed: int,
    ) -> list[list[TextChange]]:
        states, mask = self.encoded(batch)
        encoded = Encoded(states.repeat_interleave(count, 0), mask.repeat_interleave(count, 0))
        numbers = [start.atomic_numbers for start in starts]
        constraint = ChangeConstraint(self.tokenizer, numbers, samples=count)
        draws = None
        if temperature > 0:
            # Place after place, so that the length of the batch changes none of them.
            shape = (constraint.max_new_tokens, count)
            drawn = [_random_of(seed, start).random(shape).T for start in starts]
            draws = torch.from_numpy(np.concatenate(drawn)).to(states.device)
        tokens = write_changes(self, encoded, constraint, temperature=temperature, draws=draws)
        rows = tokens.cpu().numpy()
        return [
            [self.tokenizer.decode(rows[place * count + sample], one) for sample in range(count)]
            for place, one in enumerate(numbers)
        ]

    def _read(self, starts: Sequence[Crystal], batch: StartBatch) -> list[TextChange]:
        lengths = np.concatenate([np.tile(one.lengths, (one.num_atoms, 1)) for one in starts])
        on_device = torch.from_numpy(lengths).to(self.cell.weight)
        cell, sites = self.numbers(self.encoded(batch), batch, on_device)
        per_crystal = sites.double().cpu().split([one.num_atoms for one in starts])
        return [
            TextChange(row, site.numpy() - site.numpy().mean(axis=0))
            for row, site in zip(cell.double().cpu().numpy(), per_crystal, strict=True)
        ]


def _random_of(seed: int, start: Crystal) -> np.random.Generator:
    """A generator that depends on a seed and the numbers of a crystal."""
    numbers = (start.lengths, start.angles, start.frac_coords, start.atomic_numbers)
    # Rounded, so that another orientation draws the same.
    text = b"".join(np.round(one, 6).tobytes() for one in numbers)
    return np.random.default_rng([seed, zlib.crc32(text)])


def _prediction(start: Crystal, change: TextChange) -> Prediction:
    found = apply_text_change(start, change)
    if found is None:
        return Prediction(start, _NO_CELL)
    return Prediction(changed(start, symmetrized(start, change_between(start, found))))


def _drop_copies(_model: nn.Module, state: dict[str, Tensor], prefix: str, _: Any) -> None:
    shared = state[f"{prefix}t5.shared.weight"]
    for name in (*_COPIES, _HEAD):
        copy = state.get(f"{prefix}t5.{name}")
        if copy is not None and copy.data_ptr() == shared.data_ptr():
            del state[f"{prefix}t5.{name}"]


def _restore_copies(model: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    shared = state.get(f"{prefix}t5.shared.weight")
    own = dict(model.named_parameters(remove_duplicate=False))
    for name in (*_COPIES, _HEAD):
        if shared is not None and f"t5.{name}" in own:
            state.setdefault(f"{prefix}t5.{name}", shared)
