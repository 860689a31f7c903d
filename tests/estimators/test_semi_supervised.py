"""Rows without a label teach: twenty labels and the rest beat twenty labels alone."""

from __future__ import annotations

import pytest

from benchmarks.semi_supervised import learn, tables


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_unlabelled_rows_help_on_most_tables(data_folder):
    gains = {}
    for name, (x, y) in tables().items():
        alone, together = learn("LinearDiscriminantAnalysis", x, y)
        gains[name] = float((alone - together).mean())
    assert len(gains) == 5
    assert sum(gain > 0 for gain in gains.values()) >= 4, gains
