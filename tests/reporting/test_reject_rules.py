from pathlib import Path

from blendclip.cli.main import main
from blendclip.reporting.reject_rules import page

PAGE = Path(__file__).parents[2] / "docs" / "rejects.md"


def test_the_page_is_up_to_date(capsys):
    assert main(["rules"]) == 0
    assert capsys.readouterr().out == PAGE.read_text(), "write it again: blendclip rules > docs/rejects.md"


def test_a_row_says_rule_stages_kind_sentences_and_key():
    rows = {row.split(" | ")[0]: row for row in page().splitlines()}
    sentence = "{points} LiDAR points in its box over {sweeps} sweeps; min_points is {least}"
    assert rows["| `min_points`"] == f"| `min_points` | clouds | filtered | {sentence} | `clouds.min_points` |"
    both = "its window has no LiDAR sweep<br>every sweep of its window is broken"
    assert rows["| `no_sweep`"] == f"| `no_sweep` | clouds | fault | {both} |  |"
    assert rows["| `empty_mesh`"].startswith("| `empty_mesh` | cad | fault |")
    assert "{width}x{height} px" in page(), "how a number is written is left out"
