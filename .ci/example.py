"""Run the examples of the installed package's docstrings: enough to see that a wheel loads and runs jobs."""

import doctest
import sys

import duewheel

failed, tried = doctest.testmod(duewheel)
sys.exit(failed or not tried)
