"""Whether two models that saw the same texts differ, and by how much.

Both variants judge every text, so the texts on which they agree (both right, both wrong) say nothing about
which is better. McNemar's test looks at the discordant pairs only: if the models were equally good, each of
them would be right on half of these.

References:
    McNemar (1947), "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12(2), 153-157: the test.
    Fagerland, Lydersen, Laake (2013), "The McNemar test for binary matched-pairs data: mid-p and asymptotic
    are better than exact conditional", BMC Medical Research Methodology 13:91: why the mid-p value decides.
    Tango (1998), "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17, 891-908: the interval of the difference.
    Connor (1987), "Sample size for testing differences in proportions for the paired-sample design",
    Biometrics 43, 207-211: how many texts it takes.
    Wilson (1927), "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22, 209-212: the interval of one accuracy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95
# a difference is called decided below this; the usual convention, and what CONFIDENCE belongs to
SIGNIFICANCE = 0.05
# chance of seeing a difference that is there, for which sample sizes are planned
POWER = 0.8

_NORMAL = NormalDist()
_HALVINGS = 200


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class PairedCounts:
    """How often two models were right on the same texts.

    Args:
        both_right: Texts on which both were.
        first_only: Texts on which the first alone was.
        second_only: Texts on which the second alone was.
        both_wrong: Texts on which neither was.
    """

    both_right: int
    first_only: int
    second_only: int
    both_wrong: int

    @property
    def total(self) -> int:
        """All texts."""
        return self.both_right + self.first_only + self.second_only + self.both_wrong

    @property
    def discordant(self) -> int:
        """Texts on which one was right and the other was not."""
        return self.first_only + self.second_only

    @property
    def first_right(self) -> int:
        """Texts on which the first was right."""
        return self.both_right + self.first_only

    @property
    def second_right(self) -> int:
        """Texts on which the second was right."""
        return self.both_right + self.second_only

    @property
    def difference(self) -> float:
        """Accuracy of the second less that of the first, -1 to 1."""
        return (self.second_only - self.first_only) / self.total if self.total else 0.0


@dataclass(frozen=True)
class McNemar:
    """Two-sided p-values of McNemar's test: how surprising the discordant pairs are if the models are equal.

    Args:
        exact: Exact conditional (binomial) test; never too small, so often too large.
        mid_p: The mid-p variant; the one to decide by (Fagerland and others, 2013).
    """

    exact: float
    mid_p: float

    @property
    def differ(self) -> bool:
        """Whether the models differ, at the 5 % level."""
        return self.mid_p < SIGNIFICANCE


def mcnemar(counts: PairedCounts) -> McNemar:
    """McNemar's test by the binomial distribution of the discordant pairs; sound for any number of them."""
    fewer, total = min(counts.first_only, counts.second_only), counts.discordant
    if 2 * fewer == total:  # also no discordant pair at all
        return McNemar(1.0, 1.0 - 0.5 * _half_probability(fewer, total) if total else 1.0)
    point = _half_probability(fewer, total)
    exact = min(1.0, 2 * _half_at_most(fewer, total))
    return McNemar(exact, max(0.0, exact - point))


def wilson(successes: int, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a proportion.

    Args:
        successes: 0 to total.
        total: 1 or more.
        confidence: Above 0 and below 1.

    Raises:
        ValueError: The counts make no proportion.
    """
    if not 0 <= successes <= total or not total:
        raise ValueError(f"{successes} of {total} is no proportion")
    z = _quantile(confidence)
    share, weight = successes / total, z * z / total
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    # all or none: the limit is exact, and must not miss it by rounding
    return Interval(
        0.0 if successes == 0 else max(0.0, middle - half),
        1.0 if successes == total else min(1.0, middle + half),
    )


def difference_interval(counts: PairedCounts, confidence: float = CONFIDENCE) -> Interval:
    """Tango's score interval of the difference in accuracy, second less first.

    Agrees with McNemar's test: without a continuity correction, the test at the same level says "different"
    exactly when 0 is outside.

    Raises:
        ValueError: There are no texts.
    """
    if not counts.total:
        raise ValueError("no texts, so no difference")
    z, estimate = _quantile(confidence), counts.difference
    # the score falls as the supposed difference rises, and is 0 at the estimate
    return Interval(
        _crossing(counts, z, estimate, -1.0),
        _crossing(counts, -z, estimate, 1.0),
    )


def texts_to_decide(counts: PairedCounts, difference: float | None = None) -> int | None:
    """How many texts, in all, show a difference at the 5 % level with a chance of 80 % (Connor 1987).

    Args:
        counts: What was seen: the share of discordant pairs is taken from it.
        difference: The difference in accuracy that is supposed to be there; by default the one seen.

    Returns:
        None if that cannot be said: no discordant pair was seen, or no difference is supposed.
    """
    supposed = abs(counts.difference if difference is None else difference)
    if not counts.discordant or not supposed:
        return None
    # models that differ by d disagree on at least a share d of the texts
    discordance = max(counts.discordant / counts.total, supposed)
    z_test, z_power = _quantile(1 - SIGNIFICANCE), _NORMAL.inv_cdf(POWER)
    spread = z_test * math.sqrt(discordance) + z_power * math.sqrt(discordance - supposed**2)
    return math.ceil((spread / supposed) ** 2)


def _quantile(confidence: float) -> float:
    """How many standard errors each side of a two-sided interval has."""
    return _NORMAL.inv_cdf(0.5 + confidence / 2)


def _half_probability(successes: int, total: int) -> float:
    """Probability of so many successes of chance one half each; by logarithms, so it never overflows."""
    ways = math.lgamma(total + 1) - math.lgamma(successes + 1) - math.lgamma(total - successes + 1)
    return math.exp(ways - total * math.log(2))


def _half_at_most(successes: int, total: int) -> float:
    """Probability of at most so many successes, fewer than half; each term comes from the one above."""
    term = summed = 1.0
    for k in range(successes, 0, -1):
        term *= k / (total - k + 1)
        summed += term
        if term < summed * 1e-17:
            break
    return _half_probability(successes, total) * summed


def _score(counts: PairedCounts, supposed: float) -> float:
    """Tango's statistic: how many standard errors what was seen lies above a supposed difference."""
    n, gains, losses = counts.total, counts.second_only, counts.first_only
    excess = gains - losses - n * supposed
    # chance of a loss that fits the supposed difference best: the larger root of its likelihood equation
    linear = (2 * n - gains + losses) * supposed - gains - losses
    constant = -losses * supposed * (1 - supposed)
    loss = (math.sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * loss + supposed * (1 - supposed))
    if variance <= 0:
        return math.copysign(math.inf, excess) if excess else 0.0
    return excess / math.sqrt(variance)


def _crossing(counts: PairedCounts, wanted: float, near: float, far: float) -> float:
    """The supposed difference between the estimate and the farthest one at which the score is as wanted."""
    if abs(_score(counts, far)) <= abs(wanted):
        return far
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        if middle in (near, far):
            break
        if abs(_score(counts, middle)) <= abs(wanted):
            near = middle
        else:
            far = middle
    return near
