"""Let the tests of this directory share the machine, with its assertions explained."""

import pytest

pytest.register_assert_rewrite("machine")
