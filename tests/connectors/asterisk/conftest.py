"""An interpreter and the events that it is fed with, by hand."""

from __future__ import annotations

import pytest

from tests.connectors.asterisk.folding import Fold, Stream


@pytest.fixture
def fold() -> Fold:
    return Fold()


@pytest.fixture
def stream() -> Stream:
    return Stream()
