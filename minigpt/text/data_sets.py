"""The public data sets that `minigpt data fetch` knows: files, checksums, sources and licences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FETCHED = Path("runs/data")  # where `minigpt data fetch` puts them, each in a folder of its name


@dataclass(frozen=True)
class RemoteFile:
    """A file on the internet, and how to recognise it once it is downloaded.

    A SHA-256 decides if one is known. For files without a published one, `records` and `fields`
    say how many records there are and which text fields each has: enough to notice a truncated
    or a wrong file, but not a changed word.
    """

    name: str  # the file's name in our folder; `url` may end in another
    url: str
    size: int | None = None  # bytes
    sha256: str | None = None
    records: int | None = None
    fields: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        """Returns the names that a local copy may have: ours, or the one it is published under."""
        return {self.name, self.url.rsplit("/", 1)[-1]}


CHAR_RNN = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data"
DIALOGSUM = "https://raw.githubusercontent.com/cylnlp/dialogsum/main/DialogSum_Data"
MULTI30K = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"
E2E = "https://raw.githubusercontent.com/tuetschek/e2e-dataset/master"
GPT2 = (
    "https://huggingface.co/openai-community/gpt2/resolve/607a30d783dfa663caf39e06633721c8d4cfcd7e"
)

DATASETS: dict[str, tuple[RemoteFile, ...]] = {
    "shakespeare": (
        RemoteFile(
            "input.txt",
            f"{CHAR_RNN}/tinyshakespeare/input.txt",
            size=1_115_394,
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        ),
    ),
    # Chen et al. 2021, "DialogSum: A Real-Life Scenario Dialogue Summarization Dataset". The
    # authors publish no checksums, so the paper's counts are checked. The test set has three
    # summaries of every dialogue.
    "dialogsum": (
        RemoteFile(
            "train.jsonl",
            f"{DIALOGSUM}/dialogsum.train.jsonl",
            records=12_460,
            fields=("fname", "dialogue", "summary", "topic"),
        ),
        RemoteFile(
            "dev.jsonl",
            f"{DIALOGSUM}/dialogsum.dev.jsonl",
            records=500,
            fields=("fname", "dialogue", "summary", "topic"),
        ),
        RemoteFile(
            "test.jsonl",
            f"{DIALOGSUM}/dialogsum.test.jsonl",
            records=500,
            fields=("fname", "dialogue", "summary1", "summary2", "summary3"),
        ),
    ),
    # Elliott et al. 2016, "Multi30K: Multilingual English-German Image Descriptions"; the French is
    # from Elliott et al. 2017, the second shared task on multimodal machine translation.
    "multi30k": tuple(
        RemoteFile(f"{part}.gz", f"{MULTI30K}/{part}.gz", size, sha256)
        for part, size, sha256 in (
            (
                "train.en",
                568_929,
                "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
            ),
            (
                "train.fr",
                604_242,
                "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
            ),
            ("val.en", 21_650, "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28"),
            ("val.fr", 23_001, "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9"),
            (
                "test_2016_flickr.en",
                21_077,
                "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
            ),
            (
                "test_2016_flickr.fr",
                22_310,
                "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
            ),
        )
    ),
    # Novikova et al. 2017, "The E2E Dataset: New Challenges for End-to-End Generation". The sizes
    # and checksums are those that Hugging Face's `datasets` publishes for the authors' files.
    "e2e": (
        RemoteFile(
            "trainset.csv",
            f"{E2E}/trainset.csv",
            size=9_340_189,
            sha256="f27d48df45815288ab15619d47a79028c300fbb7f42e373668aba0b98c1d57c6",
        ),
        RemoteFile(
            "devset.csv",
            f"{E2E}/devset.csv",
            size=1_161_305,
            sha256="fc26b78cdb849c80545f513b223d1e051138b43882eeb79e3eb153e689c864f9",
        ),
        RemoteFile(
            "testset_w_refs.csv",
            f"{E2E}/testset_w_refs.csv",
            size=1_310_822,
            sha256="edc8db685e39bb9824d5bd70c18b1c9b0412d14b527aa960e2d1c8251ee15ccd",
        ),
    ),
    "gpt2": (
        RemoteFile(
            "config.json",
            f"{GPT2}/config.json",
            size=665,
            sha256="0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4",
        ),
        RemoteFile(
            "model.safetensors",
            f"{GPT2}/model.safetensors",
            size=548_105_171,
            sha256="248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
        ),
    ),
}

# Where each set comes from, and on what terms.
TERMS = {
    "shakespeare": "github.com/karpathy/char-rnn; the plays are in the public domain",
    "dialogsum": "github.com/cylnlp/dialogsum; licence CC BY-NC-SA 4.0",
    "multi30k": "github.com/multi30k/dataset; on the terms of Flickr30k (research and education): "
    "hockenmaier.cs.illinois.edu/DenotationGraph/data",
    "e2e": "github.com/tuetschek/e2e-dataset; licence CC BY-SA 4.0",
    "gpt2": "huggingface.co/openai-community/gpt2; licence MIT",
}
