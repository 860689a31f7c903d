"""Every family against every law that speaks about it."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.testing import FAMILIES, FAMILY_LAWS, family_laws

_CASES = [
    pytest.param(family, law, id=f"{family}-{law}")
    for family, build in FAMILIES.items()
    for law in family_laws(build())
]


@pytest.mark.parametrize(("family", "law"), _CASES)
def test_law(family: str, law: str) -> None:
    FAMILY_LAWS[law](FAMILIES[family](), np.random.default_rng(20240229))
