"""The table of the replay, shown at the end of a test run."""

from __future__ import annotations

import pytest

from tests.contract.replay import Result, replay
from tests.contract.test_replay import KNOWN_DIFFERENCES

_RESULT = pytest.StashKey[Result]()


@pytest.fixture(scope="session")
def replayed(request: pytest.FixtureRequest) -> Result:
    """Everything that was recorded, replayed once."""
    result = replay()
    request.config.stash[_RESULT] = result
    return result


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show how far the local Polar agrees with what was recorded."""
    result = config.stash.get(_RESULT, None)
    if result is not None:
        terminalreporter.section("recordings replayed against the local Polar")
        for line in result.table(KNOWN_DIFFERENCES):
            terminalreporter.write_line(line)
