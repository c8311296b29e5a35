//! The engine as Python drives it: copies, portals and links, over real sockets on loopback addresses.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is its result")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use twindisk_runtime::mirror::{AttachPlan, Command, Role, Serial, Sync};
use twindisk_runtime::{
    AccessMode, AccessState, Admission, BlockSize, EngineEvent, Handle, Kind, VdiskEvent, VdiskSpec,
};

mod neighbours;

use neighbours::{engine, is_peer_up, neighbours, peer_down_reason, wait_for};

const SERIAL: Serial = Serial([0x6e; 16]);
/// No further paths.
const MAIN: [&[u8]; 2] = [&[], &[]];
const SIZE_BYTES: u64 = 9 << 20;

fn spec(directory: &Path, peer: Option<&str>) -> VdiskSpec {
    VdiskSpec {
        unbroken: None,
        name: "M1".to_owned(),
        directory: directory.to_owned(),
        serial: SERIAL,
        iqn: "iqn.2006-06.com.quadstor.vdisk.M1".to_owned(),
        size_bytes: SIZE_BYTES,
        block: BlockSize::B512,
        group_tag: 1,
        peer: peer.map(str::to_owned),
        admission: Admission::default(),
    }
}

/// Make a copy that holds generation 7 in `directory` and open it, unmirrored.
fn open_new(engine: &Handle, directory: &Path) {
    engine
        .create_copy(directory, SERIAL, SIZE_BYTES, 7, Role::Master)
        .unwrap();
    let told = engine.open_vdisk(spec(directory, None)).unwrap();
    assert_eq!((told.facts.current, told.size_bytes), (7, SIZE_BYTES));
}

#[test]
fn a_copy_is_made_opened_closed_and_deleted() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("M1");
    let engine = engine();
    open_new(&engine, &directory);
    let again = engine.create_copy(&directory, SERIAL, SIZE_BYTES, 7, Role::Master);
    assert_eq!(again.unwrap_err().kind, Kind::Exists);
    assert_eq!(
        engine.delete_copy(&directory).unwrap_err().kind,
        Kind::Exists
    );
    for _ in 0..3 {
        engine.close_vdisk("M1").unwrap();
        engine.open_vdisk(spec(&directory, None)).unwrap();
    }
    engine.close_vdisk("M1").unwrap();
    engine.delete_copy(&directory).unwrap();
    let gone = engine.open_vdisk(spec(&directory, None));
    assert_eq!(gone.unwrap_err().kind, Kind::NotFound);
}

#[test]
fn a_wrong_open_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let engine = engine();
    open_new(&engine, root.path());
    engine.close_vdisk("M1").unwrap();
    let right = || spec(root.path(), None);
    let wrong = [
        (
            VdiskSpec {
                size_bytes: SIZE_BYTES + 512,
                ..right()
            },
            Kind::Invalid,
        ),
        (
            VdiskSpec {
                serial: Serial([1; 16]),
                ..right()
            },
            Kind::Invalid,
        ),
        (spec(root.path(), Some("127.0.0.1")), Kind::NotFound),
    ];
    for (spec, kind) in wrong {
        assert_eq!(engine.open_vdisk(spec).unwrap_err().kind, kind);
    }
    engine.open_vdisk(right()).unwrap();
}

#[test]
fn a_vdisk_grows_and_stays_grown() {
    let root = tempfile::tempdir().unwrap();
    let engine = engine();
    open_new(&engine, root.path());
    let resize = |size_bytes| {
        engine
            .call(move |engine| engine.resize_vdisk("M1", size_bytes))
            .unwrap()
    };
    resize(2 * SIZE_BYTES).unwrap();
    assert_eq!(resize(SIZE_BYTES).unwrap_err().kind, Kind::Invalid);
    engine.close_vdisk("M1").unwrap();
    let grown = VdiskSpec {
        size_bytes: 2 * SIZE_BYTES,
        ..spec(root.path(), None)
    };
    engine.open_vdisk(grown).unwrap();
}

#[test]
fn a_login_under_way_ends_with_the_vdisk_whose_rules_it_may_hold() {
    let root = tempfile::tempdir().unwrap();
    let engine = engine();
    open_new(&engine, root.path());
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let portal = engine.call(move |engine| engine.open_portal(any, None));
    let mut login = TcpStream::connect(portal.unwrap().unwrap()).unwrap();
    login
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // Stays in the security stage.
    let mut text = b"InitiatorName=iqn.2026-11.org.example:a\0".to_vec();
    text.extend(b"TargetName=iqn.2006-06.com.quadstor.vdisk.M1\0");
    let mut request = vec![0; 48];
    request[0] = 0x43;
    request[7] = u8::try_from(text.len()).unwrap();
    text.resize(text.len().next_multiple_of(4), 0);
    request.extend(text);
    login.write_all(&request).unwrap();
    let mut answer = [0; 48];
    login.read_exact(&mut answer).unwrap();
    assert_eq!((answer[0], answer[36]), (0x23, 0), "the login goes on");
    engine.close_vdisk("M1").unwrap();
    let mut rest = vec![];
    login.read_to_end(&mut rest).unwrap();
}

#[test]
fn calls_after_shutdown_say_so() {
    let engine = engine();
    let any = "127.0.0.1:0".parse().unwrap();
    let portal = engine
        .call(move |engine| engine.open_portal(any, None))
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(portal).is_ok());
    engine.shutdown();
    engine.shutdown();
    assert!(TcpStream::connect(portal).is_err());
    assert_eq!(
        engine.call(|engine| engine.status()).unwrap_err().kind,
        Kind::Closed
    );
}

#[test]
fn two_neighbours_find_each_other_and_notice_the_end() {
    let ([first, second], _) = neighbours(1, ["secret", "secret"], MAIN, 1);
    assert!(wait_for(&first, is_peer_up).is_some());
    assert!(wait_for(&second, is_peer_up).is_some());
    second.shutdown();
    assert_eq!(wait_for(&first, peer_down_reason), Some("reset"));
}

#[test]
fn a_removed_peer_is_let_go_at_both_ends() {
    let ([first, second], names) = neighbours(2, ["secret", "secret"], MAIN, 1);
    assert!(wait_for(&first, is_peer_up).is_some());
    assert!(wait_for(&second, is_peer_up).is_some());
    let name = names[1].clone();
    first
        .call(move |engine| engine.remove_peer(&name))
        .unwrap()
        .unwrap();
    assert_eq!(wait_for(&first, peer_down_reason), Some("closed"));
    assert_eq!(wait_for(&second, peer_down_reason), Some("reset"));
}

#[test]
fn a_neighbour_with_another_secret_never_comes_up() {
    let ([first, second], _) = neighbours(3, ["secret", "guess"], MAIN, 1);
    std::thread::sleep(Duration::from_millis(800));
    assert!(first.events().take().is_empty());
    assert!(second.events().take().is_empty());
}

#[test]
fn a_blank_copy_is_brought_up_to_date() {
    let roots = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (engines, names) = neighbours(4, ["secret", "secret"], MAIN, 1);
    let plans = [
        (7, Role::Master, Sync::FullSource),
        (0, Role::Slave, Sync::FullTarget),
    ];
    for (at, engine) in engines.iter().enumerate() {
        let (generation, role, _) = plans[at];
        engine
            .create_copy(roots[at].path(), SERIAL, SIZE_BYTES, generation, role)
            .unwrap();
        engine
            .open_vdisk(spec(roots[at].path(), Some(&names[1 - at])))
            .unwrap();
    }
    for (engine, (_, role, sync)) in engines.iter().zip(plans) {
        let pair = wait_for(engine, |event| match event {
            EngineEvent::Vdisk(_, VdiskEvent::PeerFacts(pair)) => Some(pair.clone()),
            _ => None,
        });
        let pair = pair.expect("both sides tell their facts");
        let (local_seq, remote_seq) = (pair.local.seq, pair.remote.seq);
        let plan = AttachPlan {
            role,
            sync,
            epoch: 1,
            generation: 8,
            local_seq,
            remote_seq,
        };
        engine
            .call(move |engine| engine.command("M1", Command::Attach(plan)))
            .unwrap()
            .unwrap();
    }
    for (engine, (_, role, _)) in engines.iter().zip(plans) {
        let resynced = wait_for(engine, |event| match event {
            EngineEvent::Vdisk(_, VdiskEvent::Resynced(role)) => Some(*role),
            _ => None,
        });
        assert_eq!(resynced, Some(role));
    }
    let current = [0, 1].map(|at| {
        let told = engines[at].call(|engine| engine.facts("M1"));
        told.unwrap().unwrap().facts.current
    });
    assert_eq!(current[0], current[1]);
    both_nodes_show_the_same_states_until_one_is_lost(engines);
}

/// The first engine is Master of an attached pair. The states that it and its peer show of themselves and each other.
fn both_nodes_show_the_same_states_until_one_is_lost([master, slave]: [Handle; 2]) {
    use AccessState::{NonOptimized, Optimized, Unavailable};
    let shown = |engine: &Handle| {
        let status = engine.call(|engine| engine.status()).unwrap();
        (status.vdisks[0].own_state, status.vdisks[0].peer_state)
    };
    let set = |engine: &Handle, access| {
        let set = engine.call(move |engine| engine.set_access("M1", access));
        set.unwrap().unwrap();
    };
    assert_eq!(shown(&master), (Optimized, Some(Optimized)));
    assert_eq!(shown(&slave), (Optimized, Some(Optimized)));
    for engine in [&master, &slave] {
        set(engine, AccessMode::ActivePassive);
    }
    assert_eq!(shown(&master), (Optimized, Some(NonOptimized)));
    assert_eq!(shown(&slave), (NonOptimized, Some(Optimized)));
    master.shutdown();
    let held = wait_for(&slave, |event| match event {
        EngineEvent::Vdisk(_, VdiskEvent::Held { .. }) => Some(()),
        _ => None,
    });
    assert!(held.is_some());
    assert_eq!(shown(&slave), (NonOptimized, Some(Optimized)));
    let go_alone = Command::GoAlone {
        generation: 9,
        epoch: 2,
        fenced: true,
    };
    let told = slave.call(move |engine| engine.command("M1", go_alone));
    told.unwrap().unwrap();
    // As soon as it is decided, though nothing is served before it is durable.
    assert_eq!(shown(&slave), (Optimized, Some(Unavailable)));
    let alone = wait_for(&slave, |event| match event {
        EngineEvent::Vdisk(_, VdiskEvent::Alone { .. }) => Some(()),
        _ => None,
    });
    assert!(alone.is_some());
    assert_eq!(shown(&slave), (Optimized, Some(Unavailable)));
}

#[test]
fn hashes_are_of_chunks_as_they_are_and_of_none_outside() {
    let parent = tempfile::tempdir().unwrap();
    let engine = engine();
    open_new(&engine, &parent.path().join("M1"));
    let hashes = engine.chunk_hashes("M1", &[3, 0, 143]).unwrap();
    let zeros = twindisk_runtime::mirror::Payload::from(bytes::Bytes::from(vec![0; 64 << 10]));
    assert_eq!(hashes, vec![zeros.hash(); 3]);
    let invalid = |chunks: &[u64]| engine.chunk_hashes("M1", chunks).unwrap_err().kind;
    assert_eq!(invalid(&[144]), Kind::Invalid);
    assert_eq!(invalid(&[u64::MAX]), Kind::Invalid);
    assert_eq!(invalid(&vec![0; 1025]), Kind::Invalid);
    assert_eq!(
        engine.chunk_hashes("M2", &[]).unwrap_err().kind,
        Kind::NotFound
    );
}
