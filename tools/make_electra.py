"""Make an ELECTRA text classifier in Hugging Face's format: random weights, a real WordPiece vocabulary.

    .cache/koelectra/bin/python tools/make_electra.py --texts ratings_test.txt --output out [--shape small]

It stands for KoELECTRA where the hub cannot be reached: all but its answers is like the real one, with which
it shares shapes, operators, kind of tokenizer and files. Its last layer is set so that the given texts get
both labels and scores of all sizes. Needs the packages of requirements-koelectra.txt.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import BertWordPieceTokenizer
from transformers import BertTokenizerFast, ElectraConfig, ElectraForSequenceClassification

# initial weights larger than what training starts with: otherwise all texts are nearly alike to the network
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "embedding_size": 32,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
        "vocab_size": 4000,
        "initializer_range": 0.2,
    },
    # KoELECTRA-small-v3 and -base-v3 (config.json on the hub)
    "small": {
        "embedding_size": 128,
        "hidden_size": 256,
        "num_hidden_layers": 12,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "vocab_size": 35000,
        "initializer_range": 0.04,
    },
    "base": {
        "embedding_size": 768,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "vocab_size": 35000,
        "initializer_range": 0.04,
    },
}
_LABELS = ("negative", "positive")
_SAMPLE = 64
# log-odds of one standard deviation of the texts: most scores are between 0.5 and 0.99
_SPREAD = 2.0


def make(texts: Sequence[str], output: Path, shape: str) -> None:
    """Write the model.

    Args:
        texts: What the vocabulary is made from.
        output: The directory; it may be there.
        shape: Of `SHAPES`.
    """
    words = BertWordPieceTokenizer(lowercase=False, strip_accents=False)
    words.train_from_iterator(
        texts, vocab_size=SHAPES[shape]["vocab_size"], limit_alphabet=2000, show_progress=False
    )
    tokenizer = BertTokenizerFast(
        tokenizer_object=words._tokenizer, do_lower_case=False, model_max_length=512
    )
    torch.manual_seed(0)
    config = ElectraConfig(
        **SHAPES[shape],
        id2label=dict(enumerate(_LABELS)),
        label2id={label: index for index, label in enumerate(_LABELS)},
    )
    model = ElectraForSequenceClassification(config).eval()
    _spread(model, tokenizer(list(texts[:_SAMPLE]), padding=True, truncation=True, return_tensors="pt"))
    output.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


@torch.no_grad()
def _spread(model: ElectraForSequenceClassification, tokens: dict[str, torch.Tensor]) -> None:
    last = model.classifier.out_proj
    logits = model(**tokens).logits
    odds = logits[:, 1] - logits[:, 0]
    factor = _SPREAD / odds.std()
    last.weight *= factor
    last.bias.copy_(torch.tensor([0.0, -float(odds.median() * factor)]))


def read_texts(path: Path) -> list[str]:
    """Return the texts of a file in NSMC's format, or one per line."""
    rows = [line.split("\t") for line in path.read_text("utf-8").split("\n")]
    if rows[0] == ["id", "document", "label"]:
        rows = [[row[1]] for row in rows[1:] if len(row) == 3]
    return [row[0] for row in rows if row[0].strip()]


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Make an ELECTRA classifier with random weights.")
    parser.add_argument("--texts", type=Path, required=True, help="NSMC's format, or one text per line")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="tiny")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    make(read_texts(options.texts), options.output, options.shape)
    return 0


if __name__ == "__main__":
    sys.exit(main())
