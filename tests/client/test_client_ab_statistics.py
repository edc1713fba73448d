"""Statistics against published values, brute force, and what must hold for any counts."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.ab.statistics import (
    Interval,
    PairedCounts,
    difference_interval,
    mcnemar,
    texts_to_decide,
    wilson,
)

CELL = st.integers(0, 60)
COUNTS = st.builds(PairedCounts, CELL, CELL, CELL, CELL).filter(lambda counts: counts.total > 0)


def swapped(counts: PairedCounts) -> PairedCounts:
    return PairedCounts(counts.both_right, counts.second_only, counts.first_only, counts.both_wrong)


# Bentur and others 2009, and Cavo and others 2012, as Fagerland, Lydersen and Laake analyse them (2013, and
# "Statistical Analysis of Contingency Tables", 2017, chapter 8)
BENTUR = PairedCounts(both_right=1, first_only=1, second_only=7, both_wrong=12)
CAVO = PairedCounts(both_right=59, first_only=6, second_only=16, both_wrong=80)


@pytest.mark.parametrize(
    ("counts", "exact", "mid_p"),
    [
        (BENTUR, 18 / 256, 10 / 256),  # by hand: 2 (1 + 8) / 2^8, less 8 / 2^8
        (CAVO, 0.052479, 0.034690),
        (PairedCounts(5, 0, 0, 5), 1.0, 1.0),
        (PairedCounts(5, 0, 1, 5), 1.0, 0.5),
        (PairedCounts(5, 2, 2, 5), 1.0, 1 - 0.5 * 6 / 16),
    ],
)
def test_mcnemar_by_hand_and_as_published(counts: PairedCounts, exact: float, mid_p: float) -> None:
    found = mcnemar(counts)
    assert found.exact == pytest.approx(exact, abs=5e-7)
    assert found.mid_p == pytest.approx(mid_p, abs=5e-7)


@pytest.mark.parametrize(
    ("counts", "confidence", "low", "high"),
    [
        (BENTUR, 0.95, 0.026, 0.517),
        (CAVO, 0.95, 0.0054, 0.1240),
        (PairedCounts(0, 25, 28, 565), 0.90, -0.0148, 0.0247),
    ],
)
def test_tangos_interval_as_published(
    counts: PairedCounts, confidence: float, low: float, high: float
) -> None:
    found = difference_interval(counts, confidence)
    digits = 3 if counts is BENTUR else 4
    assert (round(found.low, digits), round(found.high, digits)) == (low, high)


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_as_published(right: int, total: int, low: float, high: float) -> None:
    found = wilson(right, total)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_a_proportion_of_nothing_has_no_interval() -> None:
    for successes, total in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="no proportion"):
            wilson(successes, total)
    with pytest.raises(ValueError, match="no texts"):
        difference_interval(PairedCounts(0, 0, 0, 0))


@given(st.integers(0, 80), st.integers(0, 80))
def test_mcnemar_is_the_binomial_distribution(first: int, second: int) -> None:
    # GIVEN the same in exact fractions
    total, fewer = first + second, min(first, second)
    tail = sum(math.comb(total, k) for k in range(fewer + 1))
    expected = min(Fraction(1), Fraction(2 * tail, 2**total))

    # THEN floating point agrees
    assert mcnemar(PairedCounts(0, first, second, 0)).exact == pytest.approx(float(expected), rel=1e-9)


@given(COUNTS)
def test_which_model_is_first_does_not_matter(counts: PairedCounts) -> None:
    one, other = mcnemar(counts), mcnemar(swapped(counts))
    assert one == other
    interval, mirrored = difference_interval(counts), difference_interval(swapped(counts))
    assert interval.low == pytest.approx(-mirrored.high, abs=1e-9)
    assert interval.high == pytest.approx(-mirrored.low, abs=1e-9)


@given(COUNTS)
def test_values_stay_where_they_belong(counts: PairedCounts) -> None:
    test, interval = mcnemar(counts), difference_interval(counts)
    assert 0 <= test.mid_p <= test.exact <= 1
    assert -1 <= interval.low <= counts.difference <= interval.high <= 1
    accuracy = wilson(counts.second_right, counts.total)
    assert 0 <= accuracy.low <= counts.second_right / counts.total <= accuracy.high <= 1


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_larger_lead_is_more_surprising(first: int, lead: int) -> None:
    narrow = mcnemar(PairedCounts(0, first, first + lead, 0))
    wide = mcnemar(PairedCounts(0, first, first + lead + 1, 0))
    assert wide.exact <= narrow.exact + 1e-12
    assert wide.mid_p <= narrow.mid_p + 1e-12


@given(COUNTS)
def test_more_texts_of_the_same_kind_narrow_the_interval(counts: PairedCounts) -> None:
    many = PairedCounts(
        *(9 * cell for cell in (counts.both_right, counts.first_only, counts.second_only, counts.both_wrong))
    )
    few, more = difference_interval(counts), difference_interval(many)
    assert more.high - more.low <= few.high - few.low + 1e-9
    # and a higher confidence widens it
    sure = difference_interval(counts, 0.99)
    assert sure.low <= few.low + 1e-9
    assert sure.high >= few.high - 1e-9


@given(st.builds(PairedCounts, CELL, st.integers(10, 400), st.integers(10, 400), CELL))
def test_interval_and_test_agree(counts: PairedCounts) -> None:
    # GIVEN many discordant pairs, where all of McNemar's tests are close
    p = mcnemar(counts).mid_p
    if not 0.04 < p < 0.06:
        assert (0 in difference_interval(counts)) is (p > 0.05)


def test_fifty_thousand_texts_are_no_trouble() -> None:
    # GIVEN NSMC's test split, 5,000 discordant pairs
    close = PairedCounts(40_000, 2_400, 2_600, 5_000)
    apart = PairedCounts(20_000, 5_000, 15_000, 10_000)
    everywhere = PairedCounts(0, 0, 50_000, 0)

    # THEN the exact test is near its normal approximation, and nothing over- or underflows to nonsense
    normal = math.erfc(200 / math.sqrt(5_000) / math.sqrt(2))
    assert mcnemar(close).mid_p == pytest.approx(normal, rel=0.01)
    assert mcnemar(apart).exact == pytest.approx(0, abs=1e-300)
    assert mcnemar(everywhere).exact == 0
    assert difference_interval(close).low == pytest.approx(0.004 - 1.96 * math.sqrt(5_000) / 50_000, abs=1e-5)
    assert difference_interval(everywhere).high == 1


def test_how_many_texts_it_takes() -> None:
    # GIVEN Connor's formula by hand: (1.959964 x 0.316228 + 0.841621 x 0.315595)^2 / 0.02^2 = 1,959.9
    counts = PairedCounts(850, 40, 60, 50)
    assert texts_to_decide(counts) == 1960
    # a smaller difference takes more, a larger one fewer
    assert (texts_to_decide(counts, 0.01) or 0) > 1960 > (texts_to_decide(counts, 0.05) or 9999)
    # nothing seen, nothing to plan with
    assert texts_to_decide(PairedCounts(90, 0, 0, 10)) is None
    assert texts_to_decide(PairedCounts(90, 5, 5, 10)) is None


@given(COUNTS, st.floats(0.001, 1))
def test_a_plan_always_is_a_number_of_texts(counts: PairedCounts, difference: float) -> None:
    needed = texts_to_decide(counts, difference)
    assert needed is None if not counts.discordant else needed is not None and needed >= 1


def test_an_interval_knows_what_is_in_it() -> None:
    assert 0 in Interval(-0.1, 0.1)
    assert 0.2 not in Interval(-0.1, 0.1)
