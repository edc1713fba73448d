"""Python's parser for several threads."""

from __future__ import annotations

import ast
import threading

# CPython 3.11 and 3.12 count the depth of the tree that they build in one place for all threads. When one of
# them stops half-way, as for a garbage collection, and another parses, the first ends in "SystemError: AST
# constructor recursion depth mismatch" (python/cpython issues 106905 and 95185).
_one_at_a_time = threading.Lock()


def parse_module(source: bytes) -> ast.Module:
    """The tree of a file.

    Raises:
        SyntaxError, ValueError: It is no Python.
    """
    with _one_at_a_time:
        return ast.parse(source)


def parse_expression(source: str) -> ast.Expression:
    """The tree of one expression.

    Raises:
        SyntaxError, ValueError: It is none.
        RecursionError, MemoryError: It is nested too deep.
    """
    with _one_at_a_time:
        return ast.parse(source, mode="eval")
