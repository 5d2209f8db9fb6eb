"""Processes that are killed while they write lose nothing; `benchmarks/kill_points.py` does it a thousand times."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.house import ROOT


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_nothing_that_was_told_is_lost_and_nothing_is_half_there() -> None:
    command = [sys.executable, "benchmarks/kill_points.py", "--kills", "25"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
    result = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout
    assert result["wrong"] == 0
    assert result["calls"] > 10
