"""Let the tests of this directory share the machine and its sides, with their assertions explained."""

import pytest

pytest.register_assert_rewrite("machine", "repeating", "sides")
