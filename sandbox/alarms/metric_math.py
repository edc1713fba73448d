"""Metric math: the part of CloudWatch's expression language that alarms commonly use.

Parsed with `ast` and walked by hand; nothing is ever executed. Known are numbers, ids, ``+ - * / ^``,
comparisons, ``&& ||`` (or ``AND OR``), lists, and the functions in `_FUNCTIONS`; see "Using math
expressions with CloudWatch metrics" in the CloudWatch guide. Anything else is an `ExpressionError` that
names it.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sandbox.syntax import parse_expression

TimeSeries = list[float | None]
Value = float | TimeSeries | list[TimeSeries]

_MAX_LENGTH = 2048
_MAX_NODES = 500
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.BitXor: operator.pow,  # CloudWatch writes powers as a ^ b
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_REDUCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "SUM": sum,
    "AVG": lambda values: sum(values) / len(values),
    "MIN": min,
    "MAX": max,
}
_FUNCTIONS = "SUM, AVG, MIN, MAX, FILL, IF, ABS, METRICS"

N = TypeVar("N")


class ExpressionError(ValueError):
    """An expression that cannot be computed; the text says why."""


def evaluate(
    expression: str, variables: Mapping[str, TimeSeries], metrics: Mapping[str, TimeSeries]
) -> Value:
    """Compute an expression over time series of equal length; None is a missing data point.

    Args:
        expression: The text, for example ``100 * errors / FILL(invocations, 1)``.
        variables: Series by id: the metrics, and the results of other expressions.
        metrics: The metrics alone, for ``METRICS()``.

    Raises:
        ExpressionError: The expression is malformed, too long, or uses what is not known.
    """
    if len(expression) > _MAX_LENGTH:
        raise ExpressionError(
            f"an expression has at most {_MAX_LENGTH} characters, this one has {len(expression)}"
        )
    text = expression.strip().replace("&&", " and ").replace("||", " or ")
    text = re.sub(r"\b(AND|OR)\b", lambda match: match[0].lower(), text)
    try:
        tree = parse_expression(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"cannot read the expression {expression!r}") from None
    if sum(1 for _ in ast.walk(tree)) > _MAX_NODES:
        raise ExpressionError("the expression has too many terms")
    return _Walk(variables, metrics).visit(tree.body)


class _Walk:
    def __init__(self, variables: Mapping[str, TimeSeries], metrics: Mapping[str, TimeSeries]) -> None:
        self.variables = variables
        self.metrics = metrics

    def visit(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=bool()):
                raise ExpressionError("truth values are not numbers")
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                if name not in self.variables:
                    raise ExpressionError(f"no metric or expression has the id {name!r}")
                return self.variables[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _each(operator.neg, self.visit(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _both(_ARITHMETIC[type(op)], self.visit(left), self.visit(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
                compare = _COMPARISONS[type(op)]
                return _both(lambda a, b: float(compare(a, b)), self.visit(left), self.visit(right))
            case ast.BoolOp(op=op, values=[first, *rest]):
                join = (lambda a, b: float(bool(a) and bool(b))) if isinstance(op, ast.And) else _either
                value = self.visit(first)
                for item in rest:
                    value = _both(join, value, self.visit(item))
                return value
            case ast.List(elts=elements):
                return [_series(self.visit(element)) for element in elements]
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self.call(name.upper(), arguments)
        raise ExpressionError(f"{ast.unparse(node)!r} is not part of the metric math that the sandbox knows")

    def call(self, name: str, arguments: list[ast.expr]) -> Value:
        match name, arguments:
            case "METRICS", []:
                return list(self.metrics.values())
            case "METRICS", [ast.Constant(value=str() as part)]:
                return [series for id_, series in self.metrics.items() if part in id_]
            case "ABS", [argument]:
                return _each(abs, self.visit(argument))
            case "FILL", [argument, ast.Name(id=("REPEAT" | "LINEAR") as how)]:
                return _fill(self.visit(argument), how)
            case "FILL", [argument, filler]:
                number = self.visit(filler)
                if not isinstance(number, float):
                    raise ExpressionError("FILL takes a number, REPEAT or LINEAR")
                return _fill(self.visit(argument), number)
            case "IF", [condition, then]:
                return _choose(self.visit(condition), self.visit(then), [])
            case "IF", [condition, then, otherwise]:
                return _choose(self.visit(condition), self.visit(then), self.visit(otherwise))
            case (("SUM" | "AVG" | "MIN" | "MAX"), [argument]):
                return _reduce(_REDUCTIONS[name], self.visit(argument))
        raise ExpressionError(
            f"{name} with {len(arguments)} arguments is not known; known functions: {_FUNCTIONS}"
        )


def _either(left: float, right: float) -> float:
    return float(bool(left) or bool(right))


def _series(value: Value) -> TimeSeries:
    if isinstance(value, list) and not any(isinstance(item, list) for item in value):
        return value  # type: ignore[return-value]  # just checked, item by item
    raise ExpressionError("a list holds time series only")


def _is_list_of_series(value: Value) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, list) for item in value)


def _safe(function: Callable[..., float], *numbers: float) -> float | None:
    try:
        result = function(*numbers)
    except (ZeroDivisionError, OverflowError):
        return None  # CloudWatch drops such data points
    return result if isinstance(result, (int, float)) else None  # a root of a negative number is complex


def _each(function: Callable[[float], float], value: Value) -> Value:
    if isinstance(value, float):
        return _safe(function, value) or 0.0
    return [None if item is None else _safe(function, item) for item in _series(value)]


def _both(function: Callable[[float, float], float], left: Value, right: Value) -> Value:
    if isinstance(left, float) and isinstance(right, float):
        result = _safe(function, left, right)
        if result is None:
            raise ExpressionError("division by zero or overflow between numbers")
        return result
    length = len(left) if isinstance(left, list) else len(right) if isinstance(right, list) else 0
    pairs = zip(_spread(left, length), _spread(right, length), strict=True)
    return [None if a is None or b is None else _safe(function, a, b) for a, b in pairs]


def _spread(value: Value, length: int) -> TimeSeries:
    series = [value] * length if isinstance(value, float) else _series(value)
    if len(series) != length:
        raise ExpressionError("time series of different lengths")
    return list(series)


def _fill(value: Value, how: str | float) -> TimeSeries:
    series = list(_series(value))
    if isinstance(how, float):
        return [how if item is None else item for item in series]
    known = [index for index, item in enumerate(series) if item is not None]
    for index, item in enumerate(series):
        if item is not None:
            continue
        before = max((k for k in known if k < index), default=None)
        after = min((k for k in known if k > index), default=None)
        left = None if before is None else series[before]
        right = None if after is None else series[after]
        if how == "REPEAT" or left is None or right is None or before is None or after is None:
            series[index] = left if how == "REPEAT" else left if right is None else right
        else:
            series[index] = left + (right - left) * (index - before) / (after - before)
    return series


def _choose(condition: Value, then: Value, otherwise: Value) -> TimeSeries:
    length = next(
        (len(value) for value in (condition, then, otherwise) if isinstance(value, list) and value), 1
    )
    if_true = _spread(then, length)
    if_false: TimeSeries = [None] * length if otherwise == [] else _spread(otherwise, length)
    return [
        None if test is None else (yes if test else no)
        for test, yes, no in zip(_spread(condition, length), if_true, if_false, strict=True)
    ]


def _reduce(function: Callable[[Sequence[float]], float], value: Value) -> Value:
    """Over a list of series: per period. Over one series: one number."""
    if isinstance(value, float):
        return value
    if _is_list_of_series(value):
        columns = [[item for item in column if item is not None] for column in zip(*value, strict=True)]
        return [function(column) if column else None for column in columns]
    present = [item for item in _series(value) if item is not None]
    if not present:
        raise ExpressionError("no data to aggregate")
    return float(function(present))
