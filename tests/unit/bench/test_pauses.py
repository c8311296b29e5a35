from bench.pauses import ROWS, document, load_sentence, table


def test_the_table_shows_the_distribution_and_the_bound_of_every_loss() -> None:
    results = {row.name: [number / 100 for number in range(50, 0, -1)] for row in ROWS}
    lines = table(results).splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert lines[2] == "| the Master's process dies (kill -9) | 50 | 0.01 s | 0.26 s | 0.46 s | 0.50 s | 1 s |"
    assert [line.rsplit("| ", 1)[1] for line in lines[2:]] == ["1 s |", "1 s |", "5 s |", "5 s |", "5 s |", "1 s |"]


def test_the_page_says_how_busy_the_machine_was() -> None:
    results = {row.name: [0.5] for row in ROWS}
    assert "before the run: 1.0, at its end: 2.5" in document(results, load_sentence(1.0, 2.5))
