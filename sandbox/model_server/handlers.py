"""The model's handler functions, run by AWS's own toolkit (sagemaker_inference.transformer.Transformer)."""

from __future__ import annotations

import json
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from inspect import Signature
from typing import Any

from sandbox.model_server.context import Context, Headers


class _LazyScipy:
    """Stands for scipy in the toolkit's decoder, which needs it only for application/x-npz.

    Importing scipy.sparse takes about as long as everything else that a small model server imports.
    """

    def __getattr__(self, name: str) -> Any:
        return import_module(f"scipy.{name}")


def _import_toolkit() -> tuple[Any, Any]:
    """The toolkit's transformer and default_inference_handler, without the cost of importing scipy."""
    if "scipy.sparse" not in sys.modules:
        placeholders = {"scipy": types.ModuleType("scipy"), "scipy.sparse": types.ModuleType("scipy.sparse")}
        sys.modules.update(placeholders)
        try:
            decoder = import_module("sagemaker_inference.decoder")
        finally:
            for name in placeholders:
                del sys.modules[name]
        decoder.scipy = _LazyScipy()  # type: ignore[attr-defined]
    transformer = import_module("sagemaker_inference.transformer")
    transformer.signature = _remembered(transformer.signature)  # type: ignore[attr-defined]
    return transformer, import_module("sagemaker_inference.default_inference_handler")


def _remembered(signature: Callable[..., Signature]) -> Callable[..., Signature]:
    """`inspect.signature` that looks at each function once: the toolkit asks four times per request."""
    cached = lru_cache(maxsize=64)(signature)

    def remembered(function: Callable[..., Any]) -> Signature:
        try:
            return cached(function)
        except TypeError:  # a callable object that cannot be hashed
            return signature(function)

    return remembered


@dataclass(frozen=True)
class Answer:
    """What goes back to the caller.

    Args:
        status: HTTP status.
        content_type: Content-Type of the body.
        body: The body; empty when `stream` gives it.
        headers: Further headers.
        stream: Gives the body piece by piece, for InvokeEndpointWithResponseStream.
    """

    status: int
    content_type: str
    body: bytes
    headers: dict[str, str]
    stream: Iterator[Any] | None = None


class Handlers:
    """The loaded model and its handler functions; `invoke` may be called from several threads.

    Args:
        model_dir: The container's model directory.
        framework: Whose image this stands for: ``sklearn`` has a default predict_fn of its own.
    """

    def __init__(self, model_dir: str, framework: str = "") -> None:
        toolkit, defaults = _import_toolkit()
        self._context = Context(model_dir)
        self._model_dir = model_dir
        handler = defaults.DefaultInferenceHandler()
        if framework == "sklearn":
            # the scikit-learn image predicts with the estimator itself unless the script says otherwise
            handler.default_predict_fn = lambda data, model: model.predict(data)
        self._transformer = toolkit.Transformer(handler)

    def load(self) -> None:
        """Import the program and call its model_fn.

        Raises:
            Exception: Whatever the program or the toolkit's checks raise.
        """
        self._transformer.validate_and_initialize(model_dir=self._model_dir, context=self._context)

    def invoke(self, body: bytes | bytearray, headers: Headers) -> Answer:
        """Run the handler functions on one request body. Never raises: errors become answers."""
        context = self._context
        context.begin(headers)
        result = self._transformer.transform([{"body": body}], context)[0]
        if context.status >= 400 and isinstance(result, str):
            return self._failure(result)
        if isinstance(result, Iterator):
            # the first piece decides whether this is an answer or an error
            try:
                first = encode(next(result, b""))
            except Exception as error:
                return self.failure(error)
            return self._answer(b"", _chain(first, result))
        try:
            return self._answer(encode(result))
        except TypeError as error:
            return self.failure(error)

    def failure(self, error: Exception) -> Answer:
        """The answer to an error, in the toolkit's form."""
        errors = import_module("sagemaker_inference.errors")
        if not isinstance(error, errors.BaseInferenceToolkitError):
            error = errors.GenericInferenceToolkitError(500, str(error))
        return self._failure(self._transformer.handle_error(self._context, error, traceback.format_exc())[0])

    def _failure(self, text: str) -> Answer:
        print(text, file=sys.stderr, flush=True)  # a failed invocation leaves its traceback in the log
        status = self._context.status
        status = status if isinstance(status, int) and 400 <= status <= 599 else 500
        body = text.encode("utf-8", "replace")
        return Answer(status, "text/plain; charset=utf-8", body, dict(self._context.response_headers))

    def _answer(self, body: bytes, stream: Iterator[bytes] | None = None) -> Answer:
        context = self._context
        content_type = str(context.get_response_content_type(0) or "application/json")
        return Answer(context.status, content_type, body, context.response_headers, stream)


def _chain(first: bytes, rest: Iterator[Any]) -> Iterator[bytes]:
    try:
        yield first
        for piece in rest:
            yield encode(piece)
    finally:
        close = getattr(rest, "close", None)
        if close is not None:
            close()


def encode(value: Any) -> bytes:
    """Bytes of what a handler returned: bytes as they are, text as UTF-8, anything else as JSON.

    Raises:
        TypeError: The value is none of these.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode("utf-8")
    return json.dumps(value).encode("utf-8")
