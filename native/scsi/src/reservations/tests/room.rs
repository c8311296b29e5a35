//! A table that is as long as it may get.

use super::*;

/// Register until there is no more room; how many did.
fn fill(unit: &mut Unit) -> u64 {
    for number in 0..u16::MAX {
        let name = format!("iqn.2024-01.test:{}", "x".repeat(200));
        let [high, low] = number.to_be_bytes();
        let initiator = InitiatorPort::new(&name, [0, 0, 0, 0, high, low]).unwrap();
        let nexus = NexusId(1000 + u64::from(number));
        unit.0.name_nexus(nexus, initiator);
        assert_eq!(unit.attention(nexus), Some((0x29, 0)));
        let mut list = [0; 24];
        list[15] = 1;
        let response = unit.out_with(nexus, REGISTER, 0, &list);
        if response.status == Status::Good {
            continue;
        }
        assert_eq!(response.sense, Some(Sense::REGISTRATION_RESOURCES));
        return u64::from(number);
    }
    panic!("a table without end");
}

#[test]
fn a_table_without_room_refuses_registrations() {
    assert!(fill(&mut Unit::new()) > 200);
}

#[test]
fn a_table_without_room_for_registrations_has_room_for_every_other_change() {
    let mut unit = Unit::new();
    assert_eq!(unit.out(A, REGISTER, 0, 0, 7), GOOD);
    let longest = NexusId(1000);
    let last = NexusId(1000 + fill(&mut unit) - 1);
    for (nexus, action, kind, key, action_key) in [
        (longest, RESERVE, 1, 1, 0),
        (longest, RELEASE, 1, 1, 0),
        (A, RESERVE, 5, 7, 0),
        (longest, PREEMPT, 5, 1, 7),
        (longest, RELEASE, 5, 1, 0),
        (longest, RESERVE, 1, 1, 0),
        (last, REGISTER, 0, 1, 2),
        (last, ABORT, 3, 2, 1),
        (last, REGISTER, 0, 2, 0),
    ] {
        while unit.attention(nexus).is_some() {}
        let done = unit.out(nexus, action, kind, key, action_key);
        assert_eq!(done, GOOD, "{nexus:?} {action:#x}");
    }
}
