from torture.plan import CUTS, WEIGHTS, draw, draw_site


def test_a_seed_draws_the_same_round_again() -> None:
    assert draw("7/3") == draw("7/3")
    assert draw("7/3") != draw("7/4")


def test_a_seed_draws_the_same_site_again_and_every_type_of_checks_is_drawn() -> None:
    assert draw_site("7") == draw_site("7")
    assert {draw_site(str(seed)).checks for seed in range(40)} == {"fence", "witness", "manual"}
    assert {draw_site(str(seed)).connections for seed in range(40)} == {0, 1, 2}


def test_every_kind_of_fault_is_drawn_within_its_round() -> None:
    kinds = set()
    for number in range(120):
        span_s, faults = draw(f"1/{number}", ("fence", "witness", "manual")[number % 3])
        kinds |= {fault.kind for fault in faults}
        assert all(0 <= fault.at_s <= span_s for fault in faults)
        assert faults == sorted(faults, key=lambda fault: fault.at_s)
    assert kinds == set(WEIGHTS)


def test_with_two_cables_cuts_are_of_either_or_of_both() -> None:
    faults = [fault for number in range(60) for fault in draw(f"1/{number}", cables=2)[1]]
    assert {fault.cable for fault in faults if fault.kind in CUTS} == {0, 1, None}
    assert {fault.cable for fault in faults if fault.kind not in CUTS} == {None}
    one = [fault for number in range(60) for fault in draw(f"1/{number}")[1]]
    assert {fault.cable for fault in one} == {None}
