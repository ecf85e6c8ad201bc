"""Tables with random damage, of a seed: one sentence, or the same result but for what is told."""

import pytest

from tests.datasets.drives.broken import Drive
from tests.datasets.drives.mutations import GOOD, run

MUTATIONS = 300  # a thousand, and what became of them: python -m tests.datasets.drives.mutations --count 1000


@pytest.mark.slow
def test_damaged_tables_end_in_one_sentence_or_in_what_is_told(city_root, tmp_path):
    found = run(Drive(city_root, tmp_path / "data"), tmp_path / "out", MUTATIONS, seed=1)
    assert [one for one in found if one[0] not in GOOD] == []
    assert {"error", "same", "told"} <= {ending for ending, *_ in found}
