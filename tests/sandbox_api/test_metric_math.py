"""Metric math: results, missing data, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.alarms.metric_math import ExpressionError, evaluate

A = [1.0, None, 3.0, 4.0]
B = [2.0, 2.0, None, 0.0]


def compute(expression: str, **more: Any) -> Any:
    series = {"a": A, "b": B} | more
    return evaluate(expression, series, series)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("a + b", [3.0, None, None, 4.0]),
        ("a / b", [0.5, None, None, None]),
        ("-a * 2", [-2.0, None, -6.0, -8.0]),
        ("a ^ 2", [1.0, None, 9.0, 16.0]),
        ("10 - 2 * 3", 4.0),
        ("FILL(a, 0)", [1.0, 0.0, 3.0, 4.0]),
        ("fill(a, REPEAT)", [1.0, 1.0, 3.0, 4.0]),
        ("FILL(a, LINEAR)", [1.0, 2.0, 3.0, 4.0]),
        ("FILL(b, LINEAR)", [2.0, 2.0, 1.0, 0.0]),
        ("a > 2", [0.0, None, 1.0, 1.0]),
        ("a >= 1 && b >= 1", [1.0, None, None, 0.0]),
        ("a > 3 OR b == 2", [1.0, None, None, 1.0]),
        ("IF(a > 2, a, 0)", [0.0, None, 3.0, 4.0]),
        ("IF(a > 2, a)", [None, None, 3.0, 4.0]),
        ("ABS(0 - a)", [1.0, None, 3.0, 4.0]),
        ("SUM([a, b])", [3.0, 2.0, 3.0, 4.0]),
        ("AVG(METRICS())", [1.5, 2.0, 3.0, 2.0]),
        ("MAX(METRICS('a'))", [1.0, None, 3.0, 4.0]),
        ("MIN([a, b])", [1.0, 2.0, 3.0, 0.0]),
        ("SUM(a)", 8.0),
        ("a / SUM(a)", [0.125, None, 0.375, 0.5]),
    ],
)
def test_an_expression_gives_its_result(expression: str, result: Any) -> None:
    # GIVEN two series with gaps
    # WHEN an expression is computed
    # THEN gaps spread where a value is needed, and only there
    assert compute(expression) == result


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("a +", "cannot read the expression"),
        ("", "cannot read the expression"),
        ("__import__('os').system('true')", "is not part of the metric math"),
        ("a.__class__", "is not part of the metric math"),
        ("[x for x in a]", "is not part of the metric math"),
        ("lambda: 1", "is not part of the metric math"),
        ("'text'", "is not part of the metric math"),
        ("True", "truth values are not numbers"),
        ("c", "no metric or expression has the id 'c'"),
        ("ANOMALY_DETECTION_BAND(a)", "ANOMALY_DETECTION_BAND with 1 arguments is not known"),
        ("SUM(a, b)", "SUM with 2 arguments is not known"),
        ("1 / 0", "division by zero or overflow"),
        ("9 ^ 9 ^ 9 ^ 9", "division by zero or overflow"),
        ("[a, 1]", "a list holds time series only"),
        ("FILL(a, b)", "FILL takes a number, REPEAT or LINEAR"),
        ("SUM(empty)", "no data to aggregate"),
        ("short + a", "time series of different lengths"),
        ("1" + " + 1" * 1000, "an expression has at most 2048 characters, this one has 4001"),
        ("1" + "+1" * 600, "the expression has too many terms"),
        ("(" * 1000 + "1" + ")" * 1000, "cannot read the expression"),
        ("-" * 200 + "a", None),
    ],
)
def test_what_is_not_metric_math_is_refused(expression: str, words: str | None) -> None:
    # GIVEN an expression that is malformed, unknown, or made to harm
    # WHEN it is computed
    # THEN it is refused in words, or harmless
    if words is None:
        assert compute(expression) == A
        return
    with pytest.raises(ExpressionError, match=words.replace("(", r"\(")):
        compute(expression, empty=[None], short=[1.0])


numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
terms = st.recursive(
    numbers.map(lambda x: f"({x})") | st.sampled_from(["a", "b"]),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=8,
)


@given(terms, numbers, numbers)
def test_arithmetic_is_that_of_python(expression: str, a: float, b: float) -> None:
    # GIVEN any arithmetic over two metrics
    # WHEN it is computed per period
    # THEN each period has the number that plain arithmetic gives
    result = evaluate(expression, {"a": [a], "b": [b]}, {})
    expected = eval(expression, {"a": a, "b": b})
    value = result if isinstance(result, float) else result[0]
    assert value is not None
    assert math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9)


@given(st.text(alphabet="ab1().,+-*/^[]<>=&|' SUMFILIF", max_size=40))
def test_no_text_breaks_the_evaluation(expression: str) -> None:
    # GIVEN any text
    # WHEN it is computed
    # THEN there is a result, or a refusal
    try:
        result = evaluate(expression, {"a": [1.0, None], "b": [0.0, 2.0]}, {"a": [1.0, None]})
    except ExpressionError:
        result = 0.0
    assert isinstance(result, (float, list))
