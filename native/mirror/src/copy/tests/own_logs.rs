//! What only one copy's activity log names is compared when they attach, whichever copy that is: the other node died before its own was durable.

use super::*;

/// A write that one node has applied, and that the other, which is back now, knows nothing of.
fn written_at(knows: usize) -> Pair {
    let mut pair = Pair::new();
    let forgets = 1 - knows;
    pair.sides[forgets].hold_persists = true;
    pair.host(MASTER, 1, write(b'2'));
    let mut expected = ['1', '1'];
    expected[knows] = '2';
    assert_eq!(pair.disks(), expected);
    pair.link_down();
    pair.cancel(MASTER, 1);
    let role = if forgets == MASTER {
        Role::Master
    } else {
        Role::Slave
    };
    pair.sides[forgets] = Side::new(role);
    pair.link_up();
    pair
}

#[test]
fn the_log_of_either_copy_alone_makes_them_equal() {
    for knows in [MASTER, SLAVE] {
        for master in [MASTER, SLAVE] {
            let mut pair = written_at(knows);
            pair.attach(master, Sync::Source);
            let kept = if knows == master { '2' } else { '1' };
            assert_eq!(
                pair.disks(),
                [kept, kept],
                "{knows} knows, {master} is Master"
            );
        }
    }
}
