"""Which words mean nearly the same, and which deny each other: thesaurus.txt in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hangul import jamo
from morphology import read

THESAURUS_FILE = "thesaurus.txt"


@dataclass(frozen=True)
class Thesaurus:
    """Groups of words, by the words' stems.

    Args:
        synonyms: Stem -> groups of words that mean nearly the same.
        opposites: Stem -> (group, side); words of one group and other sides deny each other.
    """

    synonyms: Mapping[str, frozenset[int]]
    opposites: Mapping[str, frozenset[tuple[int, int]]]

    def groups(self, stems: Iterable[str]) -> frozenset[int]:
        """Return the groups of a word that has any of these stems."""
        return frozenset().union(*(self.synonyms.get(stem, frozenset()) for stem in stems))

    def sides(self, stems: Iterable[str]) -> frozenset[tuple[int, int]]:
        """Return the sides that a word takes that has any of these stems."""
        return frozenset().union(*(self.opposites.get(stem, frozenset()) for stem in stems))

    @classmethod
    def load(cls, folder: Path) -> Thesaurus:
        """Read the file of a folder.

        Raises:
            FileNotFoundError: There is none.
            ValueError: A line begins with neither ``=`` nor ``!``, with its number.
        """
        synonyms: defaultdict[str, set[int]] = defaultdict(set)
        opposites: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
        path = folder / THESAURUS_FILE
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            kind, _, rest = line.partition(" ")
            if kind == "=":
                for word in rest.split():
                    synonyms[_key(word)].add(number)
            elif kind == "!":
                for side, words in enumerate(rest.split("/")):
                    for word in words.split():
                        opposites[_key(word)].add((number, side))
            elif line and kind != "#":
                raise ValueError(
                    f"{path}:{number}: begin with = (synonyms) or ! (opposites, sides parted by /)"
                )
        return cls(
            {stem: frozenset(groups) for stem, groups in synonyms.items()},
            {stem: frozenset(sides) for stem, sides in opposites.items()},
        )


def _key(word: str) -> str:
    """Return a verb's stem; a noun as it stands."""
    return read(word).stem if word.endswith("다") else jamo(word)
