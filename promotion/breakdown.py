"""A sequential test: have a champion's answers broken down?

Page's cumulative sum (Page 1954, Biometrika 41): each answer adds the logarithm of how much
likelier it is where the share of bad answers is `BROKEN` than where it is `TOLERATED`; the sum
never falls below 0, so a long good time does not hide a breakdown. It exceeds h within n answers
with a probability of at most n exp(-h), where no more than the tolerated share is bad.
"""

import math
from dataclasses import dataclass

TOLERATED = 0.15  # share of bad answers of a good champion, which is better than the last in some
BROKEN = 0.5
HORIZON, FALSE_ALARM = 10_000, 0.01  # at most one false alarm in 100 runs of 10 000 answers
LIMIT = math.log(HORIZON / FALSE_ALARM)


@dataclass
class Breakdown:
    """The state of the test.

    answers: seen so far; bad: those of them that were bad. total: the sum.
    """

    answers: int = 0
    bad: int = 0
    total: float = 0.0

    def add(self, is_bad: bool) -> bool:
        """Count an answer; whether the champion has broken down."""
        self.answers += 1
        self.bad += is_bad
        odds = BROKEN / TOLERATED if is_bad else (1 - BROKEN) / (1 - TOLERATED)
        self.total = max(0.0, self.total + math.log(odds))
        return self.total > LIMIT
