"""A mixture of every family against every law about stories."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.testing import FAMILIES, STORY_LAWS


@pytest.mark.parametrize("law", STORY_LAWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_law(family: str, law: str) -> None:
    STORY_LAWS[law](FAMILIES[family](), np.random.default_rng(20240229))
