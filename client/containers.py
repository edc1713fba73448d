"""Which container of an endpoint answers, and what this project's containers take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from client.errors import UserError
from client.patterns import DeployedPattern
from client.payloads import REVIEWS, Payload, from_json, from_texts, media_type

SIMILARITY, SUMMARIZATION = "similarity", "summarization"

SUMMARY_SENTENCES = 2

# the same thing in other words; the same topic; nothing in common
SENTENCE_PAIRS = (
    ("이 영화는 정말 재미있어요", "이 영화 진짜 재밌네요"),
    ("배우들의 연기가 훌륭했다", "주연 배우의 연기가 아쉬웠다"),
    ("어제 극장에서 영화를 봤다", "내일은 비가 많이 올 것 같다"),
)
ARTICLE = (
    "서울의 한 작은 독립 영화관이 문을 연 지 이십 년을 맞았다. "
    "이 극장은 대형 상영관에서 보기 어려운 독립 영화를 꾸준히 상영해 왔다. "
    "입구에는 오래된 포스터가 붙어 있다. "
    "관객이 줄어 문을 닫을 위기도 있었지만, 시민들의 모금 덕분에 독립 영화 상영을 이어 갈 수 있었다. "
    "커피는 삼천 원이다. "
    "극장은 이십 주년을 기념해 관객이 뽑은 독립 영화 스무 편을 다음 달 상영한다."
)


@dataclass(frozen=True)
class Choice:
    """The container that a request goes to.

    Args:
        hostname: For ``TargetContainerHostname``; None where the endpoint chooses nothing.
    """

    hostname: str | None = None

    def payload(self, texts: Sequence[str] | None, content_type: str | None) -> Payload:
        """Put texts into the form that the container takes, or its own example if there are none.

        Args:
            texts: What to send: two for each pair of the similarity container.
            content_type: How to write them; the similarity and summarization containers get JSON.

        Raises:
            UserError: These texts make no request for this container.
        """
        if self.hostname not in (SIMILARITY, SUMMARIZATION):
            return from_texts(texts or REVIEWS, content_type or "application/json")
        if content_type and media_type(content_type) != "application/json":
            raise UserError(
                f"Texts for container {self.hostname} are written as application/json, not {content_type!r}",
                "Send a body of your own with --file.",
            )
        if self.hostname == SUMMARIZATION:
            return from_json({"inputs": list(texts or [ARTICLE]), "sentences": SUMMARY_SENTENCES})
        if texts and len(texts) % 2:
            raise UserError(
                f"Container {SIMILARITY} compares two sentences: {len(texts)} texts make no pairs",
                "Give two texts for each pair.",
            )
        pairs = list(zip(texts[::2], texts[1::2], strict=True)) if texts else SENTENCE_PAIRS
        return from_json({"pairs": [list(pair) for pair in pairs]})


def choose_container(deployed: DeployedPattern, wanted: str | None) -> Choice:
    """Check a hostname against those that the stack names.

    Raises:
        UserError: A Direct endpoint and no hostname, an unknown one, or one for an endpoint that takes none.
    """
    hostnames = deployed.container_hostnames
    if deployed.is_direct and wanted is None:
        raise UserError(
            f"Endpoint {deployed.endpoint_name} has several containers, and each request names one",
            f"Choose one with --container: {', '.join(hostnames)}.",
        )
    if wanted is None:
        return Choice()
    if not deployed.is_direct:
        why = (
            "its containers are called one after the other"
            if hostnames
            else "its model is a single container"
        )
        raise UserError(
            f"Endpoint {deployed.endpoint_name} takes no container hostname: {why}",
            "Leave --container out.",
        )
    if wanted not in hostnames:
        near = get_close_matches(wanted, hostnames, n=1)
        hint = f"Its containers: {', '.join(hostnames)}."
        raise UserError(
            f"Endpoint {deployed.endpoint_name} has no container {wanted!r}",
            f"{hint}\nDid you mean {near[0]!r}?" if near else hint,
        )
    return Choice(wanted)
