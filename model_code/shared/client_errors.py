"""Refusals of a request that the model server answers with a 4xx status."""

from __future__ import annotations

import json
import sys
from http import HTTPStatus
from typing import Any, NoReturn

try:
    from sagemaker_inference.errors import BaseInferenceToolkitError
except ImportError:  # numpy and the standard library are all that the models need

    class BaseInferenceToolkitError(Exception):  # type: ignore[no-redef]
        """The toolkit's error: a status code, a message and a reason phrase."""

        def __init__(self, status_code: int, message: str, phrase: str) -> None:
            self.status_code, self.message, self.phrase = status_code, message, phrase
            super().__init__(status_code, message, phrase)


class RequestError(BaseInferenceToolkitError):  # type: ignore[misc]
    """The request is at fault, not the model.

    Args:
        status: 400 (bad content), 406 (answer format unknown), 413 (too large) or 415 (content type unknown).
        message: What was wrong, where, and what is allowed.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(int(status), message, status.phrase)
        _tell_flask(self)

    def __str__(self) -> str:
        return f"{self.status_code} {self.phrase}: {self.message}"


def refuse(message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> NoReturn:
    """Raise `RequestError`, without the error that led to it.

    Args:
        message: What was wrong, where, and what is allowed.
        status: See `RequestError`. Default 400.
    """
    raise RequestError(status, message) from None


def _tell_flask(error: RequestError) -> None:
    """Have AWS's scikit-learn image answer with the error's status.

    That image serves single models with Flask and turns whatever a handler function raises into status 500,
    which would count as the endpoint's failure and set off its rollback alarm.
    """
    flask: Any = sys.modules.get("flask")
    if flask is None or not flask.has_request_context():
        return

    def answer(response: Any) -> Any:
        response.status_code = error.status_code
        response.mimetype = "application/json"
        response.set_data(json.dumps({"error": error.message}, ensure_ascii=False))
        return response

    flask.after_this_request(answer)
