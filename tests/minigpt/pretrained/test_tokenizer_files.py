"""Tokenizers beside a model of transformers: the same ids as there, or one sentence."""

from __future__ import annotations

import copy
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from minigpt.command.cli import main
from minigpt.config import GPTConfig
from minigpt.fast.pieces import KNOWN_PATTERNS
from minigpt.model import GPT
from minigpt.pretrained.folders import load_pretrained, save_gpt2, save_pretrained
from minigpt.pretrained.tokenizer_files import PATTERNS
from minigpt.tokenizer import unused_ids

V = 500
LLAMA = next(pattern for pattern in PATTERNS if pattern.startswith("(?i:") and "{1,3}" in pattern)
CORPUS = [
    "Taylor Swift is a singer, isn't she? THEY'RE singing 1234567 songs.",
    "naïve café in 日本 and Россия\r\n\t\tdef token(text):\n    return text  # 3.14\n",
    "the theory of the other thing, then again the thing they think\u00a0of",
] * 30


def trained(pattern: str = "", **settings: Any) -> Tokenizer:
    """Returns a tokenizer whose special tokens have the first ids, as tokenizers trains it."""
    made = Tokenizer(models.BPE(**settings))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if pattern:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        made.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["</s>", "<pad>"], initial_alphabet=alphabet,
        show_progress=False,
    )  # fmt: skip
    made.train_from_iterator(CORPUS, trainer)
    made.add_tokens(["<new>", AddedToken("<new>er", normalized=False), "Swift"])
    made.add_special_tokens([AddedToken("<|end|>")])
    return made


@pytest.fixture(scope="module")
def plain() -> Tokenizer:
    return trained()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder with a model, whose vocabulary is padded, and no tokenizer."""
    save_gpt2(GPT(GPTConfig(V, 8, 1, 1, 4)), tmp_path / "model")
    return tmp_path / "model"


def texts(n: int = 60) -> list[str]:
    """Returns texts of any characters, among them the added tokens."""
    dice = random.Random(0)
    parts = ["<new>", "<new>er", "<new", "Swift", " Swifty", "</s>", "<|end|>", "'S", "'LL", "'ſ",
             "don't", "\u00a0", "\u2028", "  ", " \r\n", "ﬃ", "e\u0301", "٣٤٥٦", "Ⅻ"]  # fmt: skip

    def part() -> str:
        kind = dice.random()
        if kind < 0.4:
            return dice.choice("etaoin shrdlu'sSlL  \n\r\t0123456789<|>_")
        if kind < 0.6:
            return dice.choice(parts)
        point = dice.randrange(0x110000 - 0x800)  # any character but half a one, of D800 to DFFF
        return chr(point if point < 0xD800 else point + 0x800)

    return ["".join(part() for _ in range(dice.randrange(1, 40))) for _ in range(n)]


TEXTS = texts()


def same_ids(encoding: tiktoken.Encoding, theirs: Callable[[str], list[int]]) -> None:
    for text in TEXTS:
        ids = encoding.encode(text, allowed_special="all")
        assert ids == theirs(text), text
        assert encoding.decode(ids) == text


@pytest.mark.parametrize("pattern", ["", *sorted(PATTERNS, key=len)])
def test_a_tokenizer_file_gives_the_ids_of_tokenizers(folder: Path, pattern: str) -> None:
    theirs = trained(pattern)
    theirs.save(str(folder / "tokenizer.json"))
    model, encoding = load_pretrained(folder)
    same_ids(encoding, lambda text: theirs.encode(text).ids)
    assert list(model.unused) == unused_ids(encoding, V) == list(range(theirs.get_vocab_size(), V))


def test_what_transformers_saves_is_read_saved_again_and_read_there(
    folder: Path, plain: Tokenizer, tmp_path: Path
) -> None:
    PreTrainedTokenizerFast(
        tokenizer_object=plain, eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)
    model, encoding = load_pretrained(folder)
    same_ids(encoding, lambda text: AutoTokenizer.from_pretrained(folder)(text)["input_ids"])
    assert encoding.eot_token == 0
    save_pretrained(model, encoding, tmp_path / "again")
    assert json.loads((tmp_path / "again/config.json").read_text())["eos_token_id"] == 0
    again = load_pretrained(tmp_path / "again")[1]
    theirs = AutoTokenizer.from_pretrained(tmp_path / "again")
    same_ids(again, lambda text: theirs(text)["input_ids"])
    for same in (pickle.loads(pickle.dumps(encoding)), copy.deepcopy(encoding)):
        assert (same.encode("<new>er é", disallowed_special=()), same.eot_token) == (
            encoding.encode("<new>er é", disallowed_special=()), 0,
        )  # fmt: skip


def test_vocabulary_and_merges_of_gpt2s_kind_are_read_with_the_tokens_added_to_them(
    folder: Path, plain: Tokenizer
) -> None:
    plain.model.save(str(folder))
    n = len(json.loads((folder / "vocab.json").read_text()))
    added = {"<b>": n, "<c> d": n + 1, "<e>": n + 2}
    (folder / "added_tokens.json").write_text(json.dumps(added))
    named = {"eos_token": "<e>", "additional_special_tokens": ["<b>"], "pad_token": "<p>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(named))
    theirs = AutoTokenizer.from_pretrained(folder)
    encoding = load_pretrained(folder)[1]
    same_ids(encoding, lambda text: theirs(text)["input_ids"])
    mixed = "a<b><c> d<e><p><|endoftext|>x"
    assert encoding.encode(mixed, allowed_special="all") == theirs(mixed)["input_ids"]
    assert encoding.eot_token == n + 2


def test_an_added_token_that_spells_one_of_the_vocabulary_has_an_id_of_its_own(
    folder: Path, plain: Tokenizer
) -> None:
    theirs = Tokenizer.from_str(plain.to_str())
    theirs.add_tokens([AddedToken(" the", normalized=False), "the"])
    PreTrainedTokenizerFast(tokenizer_object=theirs, eos_token="</s>").save_pretrained(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["extra_special_tokens"] = {}  # as transformers 4 writes
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    model, encoding = load_pretrained(folder)
    assert theirs.token_to_id(" the") > theirs.token_to_id("Ġthe")  # both are there
    assert theirs.token_to_id(" the") not in model.unused
    for text in ("on the mat", "the the", "other then"):
        ids = encoding.encode(text, allowed_special="all")
        assert ids == theirs.encode(text).ids
        assert encoding.decode(ids) == text


def test_a_special_token_in_a_users_text_stays_letters_and_an_added_one_is_a_token(
    folder: Path, plain: Tokenizer
) -> None:
    plain.save(str(folder / "tokenizer.json"))
    encoding = load_pretrained(folder)[1]
    new, end = plain.token_to_id("<new>"), plain.token_to_id("<|end|>")
    ids = encoding.encode_ordinary("<new></s>")
    assert ids[0] == new
    assert 0 not in ids
    assert encoding.decode(ids) == "<new></s>"
    assert encoding.encode("<new><|end|>", allowed_special={"<|end|>"}) == [new, end]
    with pytest.raises(ValueError, match="special token"):
        encoding.encode("a</s>")


def test_the_command_writes_with_such_a_tokenizer(
    folder: Path, plain: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    plain.save(str(folder / "tokenizer.json"))
    options = ["--max-new-tokens", "40", "--temperature", "9", "--top-k", "0", "--device", "cpu"]
    assert main(["generate", "--model", str(folder), "--prompt", "Taylor Swift", *options]) == 0
    assert capsys.readouterr().out.startswith("Taylor Swift")


def test_tokens_that_only_a_whole_piece_becomes_are_those_of_tokenizers(folder: Path) -> None:
    theirs = json.loads(trained(LLAMA).to_str())
    theirs["model"]["ignore_merges"] = True
    theirs["added_tokens"] = theirs["added_tokens"][:2]
    theirs["model"]["vocab"]["Ġqzxw"] = 450
    theirs["model"]["vocab"]["singqqq"] = 451
    (folder / "tokenizer.json").write_text(json.dumps(theirs))
    peer = Tokenizer.from_str(json.dumps(theirs))
    encoding = load_pretrained(folder)[1]
    for text in ("a qzxw b", "qzxw", " qzxwa", "singqqq", "singqqqq", " singqqq", *TEXTS[:20]):
        assert encoding.encode(text, allowed_special="all") == peer.encode(text).ids, text
    assert 450 in encoding.encode("a qzxw b")


def swap_two_ids(found: dict) -> None:
    vocab, (first, second) = found["model"]["vocab"], found["model"]["merges"][5:7]
    a, b = "".join(first), "".join(second)
    vocab[a], vocab[b] = vocab[b], vocab[a]


def another_split(pattern: str) -> Callable[[dict], None]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}

    def edit(found: dict) -> None:
        steps = [{**split, "invert": False}, level]
        found["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}

    return edit


BOS = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "</s>", "type_id": 0}}]}
TWICE = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 2}
REFUSED: dict[str, tuple[Callable[[dict], object], str]] = {
    "Unigram": (lambda t: t["model"].update(type="Unigram"), 'model.type must be "BPE", got "Uni'),
    "WordPiece": (lambda t: t.update(model={"type": "WordPiece", "vocab": {}}), '"WordPiece"'),
    "a normalizer": (lambda t: t.update(normalizer={"type": "NFC"}), "normalizer must be null, go"),
    "a space": (lambda t: t["pre_tokenizer"].update(add_prefix_space=True), "add_prefix_space"),
    "no cutting": (lambda t: t["pre_tokenizer"].update(use_regex=False), "must cut text once"),
    "Metaspace": (lambda t: t.update(pre_tokenizer={"type": "Metaspace"}), "must be ByteLevel, al"),
    "no pre_tokenizer": (lambda t: t.update(pre_tokenizer=None), "pre_tokenizer must be .* null"),
    "another pattern": (another_split(r"\w+|\W+"), "known are the patterns of GPT-2"),
    "another engine": (another_split(max(KNOWN_PATTERNS - {*PATTERNS})), "cuts text by"),
    "a start": (lambda t: t.update(post_processor=BOS), "post_processor must be ByteLevel or null"),
    "the text twice": (lambda t: t.update(post_processor=TWICE), "post_processor must be"),
    "no text": (lambda t: t.update(post_processor={**TWICE, "single": []}), "post_processor must"),
    "dropout": (lambda t: t["model"].update(dropout=0.1), "model.dropout must be null"),
    "a suffix": (lambda t: t["model"].update(end_of_word_suffix="</w>"), "end_of_word_suffix"),
    "lstrip": (lambda t: t["added_tokens"][2].update(lstrip=True), r"added_tokens\[2\].lstrip"),
    "single words": (
        lambda t: t["added_tokens"][0].update(single_word=True),
        "single_word must be",
    ),
    "a gap": (lambda t: t["added_tokens"][2].update(id=450), '"<new>" has the id 450, for which'),
    "no byte": (lambda t: t["model"]["vocab"].pop("Ġ"), "no token for the byte 0x20"),
    "order": (swap_two_ids, "ids must rise with the merges"),
    "a merge twice": (lambda t: t["model"]["merges"].append(["t", "h"]), "an earlier merge makes"),
    "another merge": (lambda t: t["model"]["merges"].insert(0, ["Ġt", "h"]), "merge 1, .* joins"),
    "two ids": (
        lambda t: t["model"]["vocab"].update({"中": 300}),
        "two of its tokens have the same",
    ),
    "no end": (
        lambda t: [t["added_tokens"].clear(), t["model"]["vocab"].pop("</s>")],
        "no token ends a text: no eos_token is named in tokenizer_config",
    ),
    "no merges": (lambda t: t["model"].pop("merges"), "model.merges is missing"),
    "a merge of three": (lambda t: t["model"].update(merges=["a b c"]), 'two tokens, got "a b c"'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_give_other_ids_is_refused_in_one_sentence(
    folder: Path, plain: Tokenizer, case: str
) -> None:
    edit, sentence = REFUSED[case]
    content = json.loads(plain.to_str())
    edit(content)
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=sentence) as refused:
        load_pretrained(folder)
    assert str(folder / "tokenizer.json") in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"tokenizer.model": "x"},
            "has the tokenizer tokenizer.model, of which minigpt reads only",
        ),
        ({"vocab.txt": "x"}, "has the tokenizer vocab.txt"),
        ({"vocab.json": "{}"}, r"merges\.txt is missing"),
        ({"merges.txt": "a b"}, r"vocab\.json"),
        (
            {"vocab.json": "{}", "merges.txt": "#version: 0.2\na b c\n"},
            r"merges\.txt, line 2: a me",
        ),
        ({"tokenizer_config.json": '{"add_prefix_space": true}'}, "add_prefix_space must be false"),
        ({"tokenizer_config.json": '{"tokenizer_class": "BertTokenizer"}'}, "got .BertTokenizer"),
        ({"tokenizer_config.json": '{"add_bos_token": true}'}, "add_bos_token must be false"),
        ({"tokenizer_config.json": '{"split_special_tokens": true}'}, "split_special_tokens must"),
        ({"tokenizer_config.json": '{"image_token": "<b>"}'}, "image_token names a token that min"),
        (
            {"special_tokens_map.json": '{"image_token": {"content": "<b>"}}'},
            "special_tokens_map.json: image_token names a token",
        ),
        (
            {"tokenizer_config.json": '{"model_specific_special_tokens": {"a": "<b>"}}'},
            "model_specific_special_tokens names a token",
        ),
        (
            {
                "tokenizer_config.json": '{"extra_special_tokens": ["<b>"], '
                '"additional_special_tokens": ["<c>"]}'
            },
            "transformers reads one",
        ),
        (
            {"tokenizer_config.json": '{"fast_tokenizer_files": ["tokenizer.4.0.json"]}'},
            r"fast_tokenizer_files\[0\] must be .tokenizer.json., got .tokenizer.4.0.json",
        ),
        (
            {
                "tokenizer_config.json": '{"tokenizer_class": "GPT2Tokenizer", '
                '"added_tokens_decoder": {"0": {"content": "</s>"}}}'
            },
            r'it adds the token "<pad>", which added_tokens_decoder in tokenizer_config.json lacks',
        ),
        ({"tokenizer.json": '{"format": "something else"}'}, "format must be"),
        ({"tokenizer.json": "[]"}, "one JSON object"),
    ],
)
def test_files_that_are_not_such_a_tokenizer_are_named(
    folder: Path, plain: Tokenizer, files: dict[str, str], sentence: str
) -> None:
    if not {"vocab.json", "merges.txt", "tokenizer.model", "vocab.txt"} & files.keys():
        plain.save(str(folder / "tokenizer.json"))
    for name, content in files.items():
        (folder / name).write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        load_pretrained(folder)
