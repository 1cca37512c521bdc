"""The sequential test: rarely a false alarm, and quick where a champion is broken."""

import numpy as np
import pytest

from promotion.breakdown import HORIZON, TOLERATED, Breakdown


def first_alarm(share: float, answers: int, seed: int) -> int | None:
    test = Breakdown()
    for number, is_bad in enumerate(np.random.default_rng(seed).random(answers) < share):
        if test.add(bool(is_bad)):
            return number + 1
    return None


@pytest.mark.parametrize("share", [0.0, 0.05, TOLERATED])
def test_at_most_one_false_alarm_in_a_hundred_runs(share):
    alarms = [first_alarm(share, HORIZON, seed) for seed in range(100)]
    assert sum(alarm is not None for alarm in alarms) <= 1


@pytest.mark.parametrize(("share", "within"), [(1.0, 20), (0.6, 100), (0.5, 200)])
def test_a_broken_champion_is_found_within_200_answers(share, within):
    alarms = [first_alarm(share, 1000, seed) for seed in range(100)]
    assert all(alarm is not None and alarm <= within for alarm in alarms)


def test_a_long_good_time_hides_nothing():
    test = Breakdown()
    for _ in range(5000):
        assert not test.add(False)
    assert any(test.add(True) for _ in range(20))
