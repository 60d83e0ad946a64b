"""How long a time is, as people read it."""

import pytest

from duewheel._times import SECOND, span_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.000 s"),
        (4.2, "4.200 s"),
        (119.999, "119.999 s"),
        (120, "2 min"),
        (310.9, "5 min 10 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h"),
        (7_500, "2 h 5 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (273_600, "3 d 4 h"),
        (400_000_000, "4,629 d 15 h"),
    ],
)
def test_a_span_is_told_in_two_units_at_most(seconds, text):
    assert span_text(int(seconds * SECOND)) == text
