from bench.measure import ROWS, Row
from bench.report import ratio, table

ROW = Row("reads", "read", 4096, 1, "IOPS", 1000)
RESULTS = {
    "reads": {
        "tgt": [100.0, 200.0, 1000.0],
        "single": [110.0, 240.0, 900.0],
        "master": [50.0, 100.0, 500.0],
        "slave": [100.0, 200.0, 1000.0],
    }
}


def test_a_ratio_compares_figures_of_the_same_round() -> None:
    assert ratio(RESULTS, ROW, "single") == 1.1
    assert ratio(RESULTS, ROW, "slave") == 1.0


def test_the_table_has_medians_and_ratios() -> None:
    assert table(RESULTS, [ROW]).splitlines()[-1] == "| reads | IOPS | 200 | 240 (1.10) | 100 (0.50) | 200 (1.00) |"


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
