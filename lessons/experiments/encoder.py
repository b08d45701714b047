"""Makes an encoder of a GPT: without the mask it reads in both directions and finds hidden tokens.

Lesson 2 trains one beside a decoder and lets both find hidden tokens. In the comments B is the
batch, T the number of tokens, V the vocabulary, N the number of tokens hidden in an exam.

Source: Devlin et al. 2018, "BERT" (section 3.1: 15% of the tokens are hidden; BERT shows one in
five of those as itself or as a random word instead of [MASK], which we leave out).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lessons.held_out import ratio
from minigpt.config import IGNORE
from minigpt.dataset import Batch, PackedText
from minigpt.model import GPT


class Encoder(nn.Module):
    """A GPT without the mask, in which every token sees every other."""

    def __init__(self, gpt: GPT) -> None:
        super().__init__()
        self.gpt, self.config = gpt, gpt.config

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        *,
        last_only: bool = False,
        cache: None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Returns logits [B, T, V] and the loss for idx [B, T], as GPT.forward without the mask."""
        return self.gpt(idx, targets, causal=False, last_only=last_only)


class Blanks:
    """Makes fill-in-the-blank examples (`Data` for training) of the windows of a text.

    Args:
        text: the text with its windows.
        mask_token: the id that stands in place of a hidden token.
        share: the probability with which a token is hidden.
    """

    def __init__(self, text: PackedText, mask_token: int, share: float = 0.15) -> None:
        self.text, self.mask_token, self.share = text, mask_token, share

    def hide(self, idx: Tensor, seed: int) -> Batch:
        """Returns idx [B, T] with blanks; the targets are the hidden tokens and nothing else."""
        generator = torch.Generator().manual_seed(seed)
        hidden = torch.rand(idx.shape, generator=generator) < self.share  # [B, T]
        return Batch(idx.masked_fill(hidden, self.mask_token), idx.masked_fill(~hidden, IGNORE))

    def train_batch(self, step: int, batch_size: int) -> Batch:
        """Returns B rows with blanks, a function of the step alone."""
        return self.hide(self.text.train_batch(step, batch_size).idx, seed=step)

    def validation_batches(self, batch_size: int) -> Iterator[Batch]:
        """Yields the validation text with the same blanks every time."""
        for number, batch in enumerate(self.text.validation_batches(batch_size)):
            yield self.hide(batch.idx, seed=number)


class Exam(NamedTuple):
    """Who found which of N hidden tokens.

    Attributes:
        found: bool [N], whether the first guess was right, for the decoder, which sees the tokens
            before the blank; for the encoder, which sees both sides; and for the encoder with the
            text cut off after the blank.
        place: int [N], which token of its text each was.
        window: int [N], the row of idx that each stood in.
    """

    found: dict[str, Tensor]
    place: Tensor
    window: Tensor

    def lead(self, name: str, other: str, places: range | None = None) -> tuple[float, float]:
        """Returns by how many points name finds more than other, and the standard error.

        Both answered the same questions, so only their differences vary; and as the tokens of one
        window are not independent, the error is that of `ratio` over windows, not tokens. It is
        taken to be one answer at least, so that equal answers do not pretend to be certain.

        Args:
            places: ask only for tokens at these places of their text.
        """
        asked = torch.ones_like(self.place, dtype=torch.bool)
        if places is not None:
            asked = (self.place >= places.start) & (self.place < places.stop)
        window = self.window[asked]
        gain = self.found[name][asked].double() - self.found[other][asked].double()
        n = torch.bincount(window)  # [windows]
        gains = torch.bincount(window, weights=gain)[n > 0]
        n = n[n > 0]
        if len(n) < 2:
            return math.nan, math.nan
        lead, error = ratio(gains.numpy(), n.numpy())
        return 100 * lead, 100 * max(error, 1 / int(n.sum()))


@torch.inference_mode()
def examine(
    decoder: nn.Module, encoder: nn.Module, idx: Tensor, mask_token: int, end_token: int
) -> Exam:
    """Hides one token at a time and asks the models which it was.

    Every token is hidden once whose place in its text is known (see place_in_sentence) and that has
    at least one token on either side.

    Args:
        decoder, encoder: called as model(idx [B, T]) -> (logits [B, T, V], None).
        idx: windows of text [B, T].
    """
    decoder.eval()
    encoder.eval()
    in_sentence = place_in_sentence(idx, end_token)  # [B, T]
    found: dict[str, list[Tensor]] = {"decoder": [], "encoder": [], "encoder, cut off": []}
    place, window = [], []
    expected = decoder(idx)[0].argmax(-1)  # [B, T] what the decoder expects after each token
    for t in range(1, idx.size(1) - 1):
        (asked,) = torch.nonzero(in_sentence[:, t] > 0, as_tuple=True)  # which rows
        if not len(asked):
            continue
        blanked = idx[asked]
        blanked[:, t] = mask_token
        cut = encoder(blanked[:, : t + 1], last_only=True)[0][:, -1]  # [asked, V]
        guesses = {
            "decoder": expected[asked, t - 1],  # [asked]
            "encoder": encoder(blanked)[0][:, t].argmax(-1),
            "encoder, cut off": cut.argmax(-1),
        }
        for name, guess in guesses.items():
            found[name].append(guess == idx[asked, t])
        place.append(in_sentence[asked, t])
        window.append(asked)
    answers = {name: torch.cat(right).cpu() for name, right in found.items()}
    return Exam(answers, torch.cat(place).cpu(), torch.cat(window).cpu())


def place_in_sentence(idx: Tensor, end_token: int) -> Tensor:
    """Counts tokens from the last end token, 1 for the first after it: [B, T] -> [B, T].

    The count is 0 for end tokens themselves, and before the first of them, where it is not known.
    """
    position = torch.arange(idx.size(-1), device=idx.device)  # [T]
    last_end = torch.where(idx == end_token, position, -1).cummax(-1).values  # [B, T]
    return torch.where(last_end >= 0, position - last_end, 0)
