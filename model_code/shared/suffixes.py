"""The suffixes of Korean words: particles, which follow nouns, and endings, which follow verbs."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a noun's particle says about its part in the sentence."""

    SUBJECT = "subject"
    OBJECT = "object"
    RECIPIENT = "recipient"
    SOURCE = "source"
    COMPARED = "compared"


# lines of: does the noun end in a consonant (yes, no, any); the role, or -; the particles
_PARTICLES = """
yes subject   이 은
no  subject   가 는
any subject   께서 께서는
yes object    을
no  object    를
any recipient 에게 에게는 에게도 한테 한테는 한테도 께
any source    에게서 한테서 에서 에서는 에서도 에서의 부터 부터는
any compared  보다 보다는 보다도
yes -         과 과의 과는 이나 이랑 으로 으로는 으로도 으로서 으로써 이라도 이라는
no  -         와 와의 와는 나 랑 라도 라는 다
any -         의 도 만 에 에는 에도 에만 에의 까지 까지는 까지도 마다 만큼 밖에 조차 조차도 마저
any -         마저도 처럼 같이 하고 로 로는 로도 로서 로써 뿐 만은 만이 만을 대로 이든 든 이며 이자 이고
any -         이라고 라고 이라 인 인데 이다 입니다 입니까 이에요 예요 이야 이네요 이죠 이지만 이었다 였다
any -         이었습니다 였습니다 이었던 였던
"""

# a loose letter belongs to the syllable before: ㅂ니다 as in 갑니다, ㅏ서 as in 가서 (가 + 아서)
_ENDINGS = """
다 ㄴ다 는다 더라 더군요 더라고요 어라 아라 자 자고 ㅂ시다 읍시다 시오 십시오
으십시오 ㅂ니다 습니다 ㅂ니까 습니까 ㅂ니다만 습니다만 어 아 ㅓ ㅏ 여 요 어요 아요 ㅓ요 ㅏ요 여요 세요
으세요 셔요 으셔요 네 네요 군 군요 는군요 구나 는구나 지 지요 죠 잖아 잖아요 거든 거든요 나 나요 니 냐
으냐 느냐 려무나 ㄴ가 은가 는가 ㄴ가요 은가요 는가요 ㄹ까 을까 ㄹ까요 을까요 ㄹ게 을게 ㄹ게요 을게요 ㄹ래
을래 ㄹ래요 을래요 ㄹ걸 을걸 는걸요 ㄴ대 는대 대 대요 ㄴ대요 는대요 래요 ㄴ데 은데 는데 ㄴ데요 은데요
는데요 고 고요 고서 고는 고도 며 으며 면서 으면서 면 으면 면은 지만 지만요 으나 거나 든지 든가 던지 다가
서 어서 아서 ㅓ서 ㅏ서 여서 도 어도 아도 ㅓ도 ㅏ도 여도 어야 아야 ㅓ야 ㅏ야 여야 어야지 아야지 니까 으니까
니까요 으니까요 으니 므로 으므로 느라 느라고 려고 으려고 려는 으려는 러 으러 려면 으려면 도록 게 게끔 게도
기 기는 기도 기가 기를 기에 기로 기만 기까지 기보다 ㅁ 음 음을 음이 음은 음에 음으로 는 은 ㄴ 을 ㄹ 던
는지 은지 ㄴ지 ㄹ지 을지 ㄹ지도 을지도 지는 지도 지를 지가 ㄹ수 을수 ㄹ수록 을수록 다고 ㄴ다고 는다고 다는
ㄴ다는 는다는 다면 ㄴ다면 는다면 다며 ㄴ다며 는다며 라고 으라고 자마자 자면 듯 듯이
"""
#: Every ending of verbs and adjectives.
ENDINGS = tuple(_ENDINGS.split())
#: Tense, guess and courtesy, between the stem and the ending.
BEFORE_ENDINGS = ("았", "었", "였", "ㅏㅆ", "ㅓㅆ", "ㅆ", "겠", "으시", "시")
#: Endings to which a word that denies is tied: 좋지 않다.
LINKS = ("지", "지는", "지도", "지를", "지가", "질")
#: What makes verbs of nouns.
VERBALISERS = ("하", "되", "시키", "당하", "스럽", "롭")


def _parsed(table: str) -> dict[str, tuple[bool | None, Role | None]]:
    found: dict[str, tuple[bool | None, Role | None]] = {}
    for line in table.strip().splitlines():
        consonant, role, *particles = line.split()
        rule = {"yes": True, "no": False, "any": None}[consonant], None if role == "-" else Role(role)
        found |= dict.fromkeys(particles, rule)
    return found


#: Particle -> whether the noun before it ends in a consonant (None: either), and the role that it gives.
PARTICLES = _parsed(_PARTICLES)
