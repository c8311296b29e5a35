import stat
from pathlib import Path

import pytest

from twindisk.config import load
from twindisk.demo.place import places, write_configuration


def test_the_default_demo_is_where_the_tutorial_has_it() -> None:
    first, second = places(Path("/d"))
    assert [(place.name, place.portal, place.mirror_address) for place in (first, second)] == [
        ("vm10", "127.0.0.10:3260", "127.0.1.10"),
        ("vm11", "127.0.0.11:3260", "127.0.1.11"),
    ]
    assert (first.control_port, first.data_port) == (9953, 9955)
    assert first.url("iqn.x") == "iscsi://127.0.0.10:3260/iqn.x/0"


def test_another_port_moves_the_mirror_too() -> None:
    first, _ = places(Path("/d"), 4000)
    assert (first.portal_port, first.control_port, first.data_port) == (4000, 4001, 4002)


@pytest.mark.parametrize("port", [0, -1, 65534, 70000])
def test_a_port_without_room_after_it_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match=str(port)):
        places(Path("/d"), port)


def test_the_nodes_read_their_configuration_without_a_warning(tmp_path: Path) -> None:
    pair = places(tmp_path, 4000)
    write_configuration(pair)
    configurations = [load(place.etc) for place in pair]
    for place, configuration in zip(pair, configurations, strict=True):
        assert configuration.node_name == place.name
        assert configuration.recv_address == place.mirror_address
        assert configuration.state_dir == place.state_dir.resolve()
        assert configuration.warnings == ()
        assert stat.S_IMODE((place.etc / "secret").stat().st_mode) == 0o600
    assert configurations[0].secret == configurations[1].secret
