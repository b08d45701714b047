"""Makes an encoder of a GPT: without the mask it reads in both directions and finds hidden tokens.

Lesson 02 trains one beside a decoder and lets both find hidden tokens. In the comments B is the
batch, T the number of tokens, V the vocabulary, N the number of tokens hidden in an exam.

Source: Devlin et al. 2018, "BERT" (section 3.1: 15% of the tokens are hidden; BERT shows one in
five of those as itself or as a random word instead of [MASK], which we leave out).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

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


@torch.inference_mode()
def examine(
    decoder: nn.Module, encoder: nn.Module, idx: Tensor, mask_token: int, end_token: int
) -> tuple[dict[str, Tensor], Tensor]:
    """Hides one token at a time and asks the models which it was.

    Every token is hidden once whose place in its sentence is known (see place_in_sentence) and that
    has at least one token on either side.

    Args:
        decoder, encoder: called as model(idx [B, T]) -> (logits [B, T, V], None).
        idx: windows of text [B, T].

    Returns:
        found: bool [N], whether the first guess was right, for the decoder, which sees the tokens
            before the blank; for the encoder, which sees both sides; and for the encoder with the
            text cut off after the blank.
        place: int [N], which token of its sentence each was.
    """
    decoder.eval()
    encoder.eval()
    in_sentence = place_in_sentence(idx, end_token)  # [B, T]
    found: dict[str, list[Tensor]] = {"decoder": [], "encoder": [], "encoder, cut off": []}
    place = []
    expected = decoder(idx)[0].argmax(-1)  # [B, T] what the decoder expects after each token
    for t in range(1, idx.size(1) - 1):
        asked = in_sentence[:, t] > 0  # [B]
        blanked = idx.clone()
        blanked[:, t] = mask_token
        guesses = {
            "decoder": expected[:, t - 1],  # [B]
            "encoder": encoder(blanked)[0][:, t].argmax(-1),
            "encoder, cut off": encoder(blanked[:, : t + 1])[0][:, t].argmax(-1),
        }
        for name, guess in guesses.items():
            found[name].append((guess == idx[:, t])[asked])
        place.append(in_sentence[:, t][asked])
    return {name: torch.cat(right).cpu() for name, right in found.items()}, torch.cat(place).cpu()


def place_in_sentence(idx: Tensor, end_token: int) -> Tensor:
    """Counts tokens from the last end token, 1 for the first after it: [B, T] -> [B, T].

    The count is 0 for end tokens themselves, and before the first of them, where it is not known.
    """
    position = torch.arange(idx.size(-1), device=idx.device)  # [T]
    last_end = torch.where(idx == end_token, position, -1).cummax(-1).values  # [B, T]
    return torch.where(last_end >= 0, position - last_end, 0)
