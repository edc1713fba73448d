"""Raw review text to the spelling that the classifier has seen most: one function per kind of noise.

The targets are tokens that Korean reviews use anyway (``^^``, ``ㅠㅠ``, ``ㅡㅡ``, ``♥``, ``굿``), not
invented ones, so that a classifier trained on plain reviews understands them. README.md gives the
measurements.
"""

from __future__ import annotations

import html
import re
import unicodedata

SMILE, LAUGH, CRY, FROWN, LOVE, PRAISE, BLAME = "^^", "ㅋㅋ", "ㅠㅠ", "ㅡㅡ", "♥", "굿", "별로"

_TAG = re.compile(
    r"</?(?:a|b|blockquote|br|center|code|div|em|font|h[1-6]|hr|i|img|li|ol|p|pre|s|script|small|span|strong"
    r"|style|sub|sup|table|tbody|td|th|tr|u|ul)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_URL = re.compile(r"(?:https?://|www\.)[\w\-./?=&%#:~+@!$*,;]*[\w/]", re.ASCII | re.IGNORECASE)
_WIDE = re.compile("[\uff01-\uffee]+")
# what a reader cannot see: soft hyphen, zero-width and direction marks, byte order mark
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_LOOSE_JAMO = {
    **{0x1100 + index: ord(letter) for index, letter in enumerate("ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ")},
    **{0x1161 + index: 0x314F + index for index in range(21)},
}

# beside letters or digits these are no faces: "A:)", "제목:D등급", "주의:(필독)", "TTL"
_BEFORE, _AFTER = r"(?<![0-9A-Za-z])", r"(?!\w)"
_EMOTICONS = [
    (re.compile(rf"{_BEFORE}[:;]['`]-?\(|{_BEFORE}[Tt][_.\-]?[Tt](?![0-9A-Za-z])"), CRY),
    (re.compile(r"[ㅠㅜ](?:[_.,\-]+[ㅠㅜ])+"), CRY),
    (re.compile(r"(?<=[ㅠㅜ])ㅜ|ㅜ(?=[ㅠㅜ])"), CRY[0]),
    (re.compile(r"\^[_.\-oOㅁㅇ]?\^+"), SMILE),
    (re.compile(rf"{_BEFORE}[:;=]-?(?:\)+|[DdPp]{_AFTER})"), SMILE),
    (re.compile(rf"{_BEFORE}>?[:=]-?\(+{_AFTER}"), FROWN),
    (re.compile(r"-[_.]{1,2}-|ㅡ[_.]*ㅡ+"), FROWN),
    (re.compile(rf"<3+{_AFTER}"), LOVE),
]
_EMOJI = {
    SMILE: "☺😀😃😄😁😊😇🙂😉😋😎😌🤗🥳😸😺",
    LAUGH: "😆😅🤣😂😹",
    CRY: "😢😭😿🥺🥹😥😪",
    FROWN: "☹😞😟😠😡🤬😒😑😤😫😩🙁😣😖🙄😾💢",
    LOVE: "❤🧡💛💚💙💜🖤🤍🤎💕💖💗💘💝💞💓💟😍🥰😘😻♡",
    PRAISE: "👍👏🙌👌💯",
    BLAME: "👎💔🤮🤢💩",
}
_TOKEN_OF = {emoji: token for token, all_emoji in _EMOJI.items() for emoji in all_emoji}
# an emoji with what may follow it (skin tone, variation selector, joiner) and its repetitions
_EMOJI_RUN = re.compile(f"([{''.join(_TOKEN_OF)}])(?:[\ufe0e\ufe0f\u200d\U0001f3fb-\U0001f3ff]|\\1)*")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]")

# three, not two: ㅋㅋㅋ is more often mockery than ㅋㅋ is, and the classifier knows
_JAMO_RUN = re.compile(r"([ㄱ-ㅎㅏ-ㅣ])\1{3,}")
_SYLLABLE_RUN = re.compile(r"([가-힣])\1{2,}")
_WORD_RUN = re.compile(r"([가-힣]{2,4}?)\1{2,}")
_SPACED_WORD_RUN = re.compile(r"(?<!\S)(\S+)(?: \1){2,}(?!\S)")
_PUNCTUATION_RUN = re.compile(r"([^\w\s])\1{3,}")


def normalized(text: str, longest: int) -> str:
    """Return a text in the spelling that the classifier knows best.

    Args:
        text: Any text that is not empty.
        longest: Characters that the next stage takes; a text that would come out longer stays as it is.

    Returns:
        The text, never empty: one that is nothing but noise stays as it is, so that the next stage judges
        what was sent.
    """
    clean = text
    for step in STEPS:
        clean = step(clean)
    return clean if clean and len(clean) <= longest else text


def without_markup(text: str) -> str:
    """Resolve HTML entities and drop HTML tags; ``<그녀에게>``, a title as Koreans write it, is none."""
    return _TAG.sub(" ", html.unescape(text))


def in_one_form(text: str) -> str:
    """Compose syllables (NFC), narrow full-width forms, widen half-width jamo, make loose jamo letters."""
    text = _WIDE.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text)
    return unicodedata.normalize("NFC", text).translate(_LOOSE_JAMO)


def without_links(text: str) -> str:
    """Drop web addresses."""
    return _URL.sub(" ", text)


def with_plain_feelings(text: str) -> str:
    """Write emoticons and emoji as the tokens that reviews use for the same feeling."""
    text = _EMOJI_RUN.sub(lambda run: f" {_TOKEN_OF[run[1]]} ", text)
    for pattern, token in _EMOTICONS:
        text = pattern.sub(token, text)
    return text


def without_the_invisible(text: str) -> str:
    """Drop invisible characters, emoji modifiers and control characters."""
    return _SELECTORS.sub("", _CONTROL.sub(" ", _INVISIBLE.sub("", text)))


def with_short_runs(text: str) -> str:
    """Shorten runs: syllables and words to two, jamo and punctuation to three."""
    text = _JAMO_RUN.sub(r"\1\1\1", text)
    text = _WORD_RUN.sub(r"\1\1", _SYLLABLE_RUN.sub(r"\1\1", text))
    return _SPACED_WORD_RUN.sub(r"\1 \1", _PUNCTUATION_RUN.sub(r"\1\1\1", text))


def with_single_spaces(text: str) -> str:
    """Reduce white space of every kind to single spaces, none at the ends."""
    return " ".join(text.split())


#: In order: markup may hide anything, one form lets the later patterns be plain.
STEPS = (
    without_markup,
    in_one_form,
    without_links,
    with_plain_feelings,
    without_the_invisible,
    with_single_spaces,
    with_short_runs,
)
