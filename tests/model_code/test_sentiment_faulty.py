"""The release that blue/green must stop: healthy to look at, broken for every caller."""

from __future__ import annotations

import json
from types import ModuleType, SimpleNamespace

import pytest
from sagemaker_inference.transformer import Transformer

MODEL = "sentiment_faulty"


class Context:
    """What the toolkit asks of a model server's context."""

    def __init__(self, folder: str) -> None:
        self.system_properties = {"model_dir": folder}
        headers = {"Content-Type": "application/json"}
        self.request_processor = [SimpleNamespace(get_request_properties=lambda: headers)]
        self.status = 200

    def set_response_content_type(self, index: int, value: str) -> None:
        pass

    def set_response_status(self, code: int, phrase: str) -> None:
        self.status = code


def test_it_loads_and_fails_on_every_call(
    code: SimpleNamespace, imported: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN AWS's toolkit, which loads the model at the first call
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "inference.py")
    transformer = Transformer()

    # WHEN good requests come THEN each is answered with 500 and the reason
    for _ in range(3):
        context = Context(str(code.folder))
        (answer,) = transformer.transform([{"body": json.dumps({"text": "굿"}).encode()}], context)
        assert context.status == 500
        assert "this release fails on every call, on purpose" in str(answer)


def test_a_bad_request_is_still_the_callers_fault(inference: ModuleType) -> None:
    # GIVEN a bad request THEN it is refused as by the other releases: 4xx is no sign of a broken release
    with pytest.raises(Exception, match=r"inputs\[0\] is empty") as caught:
        inference.input_fn('{"inputs": [""]}', "application/json")
    assert caught.value.status_code == 400
