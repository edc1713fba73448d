"""Make the similarity model: what words weigh, from reviews, and the scale, from rated pairs.

    python train.py --train ratings_train.txt --pairs korean_sentence_pairs.tsv --model-dir out

The reviews are tab-separated with a header line, ``id document label``, as in the Naver Sentiment Movie
Corpus (NSMC); their labels are not used. The pairs are tab-separated too: split, group, gold, sentence1,
sentence2; the rows of split "fit" set the scale. The shared folder must be importable (PYTHONPATH). The same
data give the same bytes.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hangul import normalise, words
from morphology import read
from scorer import HIGHEST, KNOTS, Scorer, in_steps
from thesaurus import Thesaurus

#: Reviews that a stem must occur in; a rarer one weighs as much as one that never does.
LEAST_REVIEWS = 20
LEAST_WEIGHT = 0.15


class BadData(ValueError):
    """The data cannot be used; the message says where and why."""


@dataclass(frozen=True)
class RatedPair:
    """Two sentences and the similarity that they ought to have, 0 to 5."""

    split: str
    group: str
    gold: float
    sentence1: str
    sentence2: str


def read_reviews(path: Path) -> list[str]:
    """Return the texts of a file, or of ``ratings_train.txt`` in a directory.

    Raises:
        BadData: There is no file, or a line is malformed.
    """
    rows = _rows(path / "ratings_train.txt" if path.is_dir() else path, columns=3)
    return [document for _, document, _ in rows]


def read_pairs(path: Path) -> list[RatedPair]:
    """Return the rated pairs of a file.

    Raises:
        BadData: There is no file, a line is malformed or a rating is not a number from 0 to 5.
    """
    pairs = []
    for split, group, gold, one, other in _rows(path, columns=5):
        try:
            rating = float(gold)
        except ValueError:
            rating = math.nan
        if not 0 <= rating <= HIGHEST:
            raise BadData(f"{path}: {one!r}, {other!r}: {gold!r} is not a number from 0 to 5")
        pairs.append(RatedPair(split, group, rating, one, other))
    return pairs


def _rows(path: Path, columns: int) -> list[list[str]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{path}: {error}") from None
    rows = []
    header = True
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        fields = line.removesuffix("\r").split("\t")
        if len(fields) != columns:
            raise BadData(f"{path}:{number}: {len(fields)} tab-separated fields, {columns} expected")
        if not header:
            rows.append(fields)
        header = False
    if not rows:
        raise BadData(f"{path}: no rows")
    return rows


def weigh(reviews: Iterable[str]) -> dict[str, float]:
    """Return what each frequent stem weighs: the rarer, the more, from `LEAST_WEIGHT` to 1."""
    reviews = list(reviews)
    counts: Counter[str] = Counter()
    for review in reviews:
        counts.update({read(word).stem for word in words(normalise(review))})
    most = math.log(max(len(reviews) / LEAST_REVIEWS, 2.0))
    return {
        stem: in_steps(min(1.0, max(LEAST_WEIGHT, math.log(len(reviews) / count) / most)))
        for stem, count in sorted(counts.items())
        if count >= LEAST_REVIEWS
    }


def fit_scale(agreements: Sequence[float], golds: Sequence[float]) -> list[float]:
    """Return the never falling heights at `KNOTS` that come closest to the ratings (least squares).

    The ends are 0 and 5. Each height in turn takes its best place between its neighbours, until none moves.
    """
    knots, x, y = np.array(KNOTS), np.array(agreements), np.array(golds)
    # each row says how much of each knot's height a pair's score is made of
    shares = np.stack([np.interp(x, knots, row) for row in np.eye(len(knots))], axis=1)
    heights = knots * HIGHEST
    for _ in range(500):
        for index in range(1, len(knots) - 1):
            share = shares[:, index]
            if not share.any():
                continue
            rest = y - shares @ heights + share * heights[index]
            heights[index] = np.clip(share @ rest / (share @ share), heights[index - 1], heights[index + 1])
    return [round(float(height), 2) for height in heights]


def make(reviews: Iterable[str], pairs: Sequence[RatedPair], thesaurus: Thesaurus) -> Scorer:
    """Return the model: weights from the reviews, scale from the pairs of split "fit"."""
    fit = [pair for pair in pairs if pair.split == "fit"]
    if not fit:
        raise BadData('there is no pair of split "fit" to set the scale by')
    plain = Scorer(weigh(reviews), [HIGHEST * knot for knot in KNOTS], thesaurus)
    agreements = [plain.agreement(pair.sentence1, pair.sentence2) for pair in fit]
    return replace(plain, heights=fit_scale(agreements, [pair.gold for pair in fit]))


def correlations(scorer: Scorer, pairs: Sequence[RatedPair]) -> tuple[float, float]:
    """Return Spearman's and Pearson's correlation of scores and ratings."""
    scores = [scorer.score(pair.sentence1, pair.sentence2) for pair in pairs]
    golds = [pair.gold for pair in pairs]
    return _pearson(_ranks(scores), _ranks(golds)), _pearson(scores, golds)


def _ranks(values: Sequence[float]) -> list[float]:
    """Return ranks, equal values sharing the mean of theirs."""
    return [sum(v < value for v in values) + (values.count(value) + 1) / 2 for value in values]


def _pearson(one: Sequence[float], other: Sequence[float]) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        pairs = read_pairs(options.pairs)
        scorer = make(read_reviews(options.train), pairs, Thesaurus.load(Path(__file__).parent))
        options.model_dir.mkdir(parents=True, exist_ok=True)
        path = scorer.save(options.model_dir)
    except (BadData, OSError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    for split in sorted({pair.split for pair in pairs}):
        spearman, pearson = correlations(scorer, [pair for pair in pairs if pair.split == split])
        print(f"{split}:spearman={spearman:.3f} {split}:pearson={pearson:.3f}")
    print(f"scale {scorer.heights}")
    print(f"wrote {path} ({path.stat().st_size:,} bytes, {len(scorer.weights):,} stems)")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Make the similarity model from NSMC and rated pairs.")
    for name, variable, text in [
        ("--train", "SM_CHANNEL_TRAIN", "reviews: a file, or a directory with ratings_train.txt"),
        ("--pairs", "SM_CHANNEL_PAIRS", "rated pairs: a file"),
        ("--model-dir", "SM_MODEL_DIR", "where to write model.npz"),
    ]:
        found = os.environ.get(variable)
        parser.add_argument(
            name, type=Path, default=found, required=not found, help=f"{text}; or ${variable}"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
