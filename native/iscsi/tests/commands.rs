//! SCSI commands, their data and their order: RFC 7143 §4.2, §11.3, §11.4, §11.7, §11.8.

mod initiator;

use bytes::Bytes;
use initiator::{Link, NO_TAG, Reply, data_out, joined, pattern, scsi};
use twindisk_iscsi::{PortalConfig, ScsiResponse, TaskAttribute};

const EARLY_DATA: &str = "InitialR2T=No\0ImmediateData=Yes\0FirstBurstLength=4096\0";

fn link(keys: &str) -> Link {
    Link::logged_in(PortalConfig::default(), keys)
}

fn good(data_in: Vec<Bytes>) -> ScsiResponse {
    ScsiResponse {
        data_in,
        ..ScsiResponse::default()
    }
}

fn sense_of(reply: &Reply) -> [u8; 3] {
    assert_eq!(
        reply.header[..4],
        [0x21, reply.header[1], 0, 2],
        "CHECK CONDITION"
    );
    assert_eq!(reply.data[..3], [0, 18, 0x70]);
    [reply.data[4], reply.data[14], reply.data[15]]
}

#[test]
fn a_read_is_answered_by_data_with_status() {
    let mut link = link("");
    let mut request = scsi(0x21, 1, 0xc1, 10, &[0x12, 0, 0, 0, 10, 0]);
    request.header[9] = 1;
    link.send(&request);
    let command = link.command();
    assert_eq!((command.lun, command.expected_len), (1 << 48, 10));
    assert_eq!(command.cdb[..6], [0x12, 0, 0, 0, 10, 0]);
    assert_eq!(
        (command.read, command.write, command.attribute),
        (true, false, TaskAttribute::Simple)
    );
    link.connection.respond(
        command.task,
        good(vec![
            Bytes::from_static(b"abcd"),
            Bytes::from_static(b"efghij"),
        ]),
    );
    let reply = link.reply();
    assert_eq!(reply.header[..4], [0x25, 0x81, 0, 0]);
    assert_eq!(
        (reply.at(16), reply.at(20), reply.at(44)),
        (0x21, NO_TAG, 0)
    );
    assert_eq!((reply.at(24), reply.at(28), reply.at(32)), (1, 2, 129));
    assert_eq!(reply.data, b"abcdefghij");
}

#[test]
fn data_in_is_cut_into_segments_and_bursts() {
    let mut link = link("MaxRecvDataSegmentLength=1024\0MaxBurstLength=2560\0");
    link.send(&scsi(1, 1, 0xc0, 6000, &[0x28]));
    let command = link.command();
    let data = pattern(6000);
    let pieces = vec![
        Bytes::copy_from_slice(&data[..1500]),
        Bytes::copy_from_slice(&data[1500..]),
    ];
    link.connection.respond(command.task, good(pieces));
    let replies = link.replies();
    let shape: Vec<_> = replies
        .iter()
        .map(|reply| {
            (
                reply.header[1],
                reply.at(36),
                reply.at(40),
                reply.data.len(),
            )
        })
        .collect();
    assert_eq!(
        shape,
        [
            (0x00, 0, 0, 1024),
            (0x00, 1, 1024, 1024),
            (0x80, 2, 2048, 512),
            (0x00, 3, 2560, 1024),
            (0x00, 4, 3584, 1024),
            (0x80, 5, 4608, 512),
            (0x81, 6, 5120, 880),
        ]
    );
    assert_eq!(
        replies
            .iter()
            .flat_map(|reply| reply.data.clone())
            .collect::<Vec<_>>(),
        data
    );
}

#[test]
fn payloads_are_not_copied() {
    let mut link = link("");
    link.send(&scsi(1, 1, 0xc0, 4096, &[0x28]));
    let command = link.command();
    let payload = Bytes::from(pattern(4096));
    link.connection
        .respond(command.task, good(vec![payload.clone()]));
    let queue = link.connection.transmit();
    assert_eq!(queue.pop().unwrap().len(), 48);
    assert_eq!(queue.pop().unwrap().as_ptr(), payload.as_ptr());
}

#[test]
fn residuals_tell_what_was_not_moved() {
    let residual = |flags: u8, expected: u32, response: ScsiResponse| {
        let mut link = link("InitialR2T=No\0");
        let data = if flags & 0x20 == 0 {
            vec![]
        } else {
            vec![0; expected as usize]
        };
        link.send(&scsi(1, 1, flags, expected, &[0]).data(&data));
        let command = link.command();
        link.connection.respond(command.task, response);
        let reply = link.reply();
        (
            reply.opcode(),
            reply.header[1] & 0x06,
            reply.at(44),
            reply.data.len(),
        )
    };
    let bytes = |len| vec![Bytes::from(vec![0; len])];
    let moved = |len| ScsiResponse {
        transfer_len: Some(len),
        ..ScsiResponse::default()
    };
    assert_eq!(residual(0xc0, 512, good(bytes(512))), (0x25, 0, 0, 512));
    assert_eq!(residual(0xc0, 512, good(bytes(36))), (0x25, 0x02, 476, 36));
    assert_eq!(
        residual(0xc0, 512, good(bytes(1024))),
        (0x25, 0x04, 512, 512)
    );
    assert_eq!(residual(0xc0, 512, good(vec![])), (0x21, 0x02, 512, 0));
    assert_eq!(residual(0x80, 0, good(bytes(36))), (0x21, 0x04, 36, 0));
    assert_eq!(residual(0x80, 0, good(vec![])), (0x21, 0, 0, 0));
    assert_eq!(residual(0xa0, 512, good(vec![])), (0x21, 0, 0, 0));
    assert_eq!(residual(0xa0, 512, moved(1024)), (0x21, 0x04, 512, 0));
    assert_eq!(residual(0xa0, 1024, moved(512)), (0x21, 0x02, 512, 0));
    assert_eq!(residual(0xa0, 0, moved(512)), (0x21, 0x04, 512, 0));
}

#[test]
fn a_failed_command_sends_sense_after_its_data() {
    let mut link = link("");
    link.send(&scsi(1, 1, 0xc0, 512, &[0x28]));
    let command = link.command();
    let sense = Bytes::from_static(&[0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0]);
    let data_in = vec![Bytes::from(vec![1; 100])];
    link.connection.respond(
        command.task,
        ScsiResponse {
            status: 2,
            sense,
            data_in,
            transfer_len: Some(512),
        },
    );
    let replies = link.replies();
    assert_eq!((replies[0].header[1], replies[0].data.len()), (0x80, 100));
    assert_eq!(sense_of(&replies[1]), [3, 0x11, 0]);
    assert_eq!(replies[1].at(36), 1, "one Data-In was sent");
}

#[test]
fn a_write_with_immediate_data_only_is_reported_without_copy() {
    let mut link = link(EARLY_DATA);
    link.send(&scsi(1, 1, 0xa2, 4096, &[0x2a]).data(&pattern(4096)));
    let command = link.command();
    assert_eq!(
        (command.data_out.len(), command.attribute),
        (1, TaskAttribute::Ordered)
    );
    assert_eq!(joined(&command.data_out), pattern(4096));
    assert!(link.replies().is_empty());
    link.connection.respond(command.task, good(vec![]));
    let reply = link.reply();
    assert_eq!(
        (reply.opcode(), reply.header[3], reply.at(36)),
        (0x21, 0, 0)
    );
}

#[test]
fn immediate_unsolicited_and_requested_data_make_one_write() {
    let mut link =
        link("InitialR2T=No\0FirstBurstLength=4096\0MaxBurstLength=8192\0MaxOutstandingR2T=2\0");
    let data = pattern(30_000);
    link.send(&scsi(1, 1, 0x20, 30_000, &[0x2a]).data(&data[..1000]));
    link.send(&data_out(1, NO_TAG, 0, 1000, false, &data[1000..3000]));
    link.send(&data_out(1, NO_TAG, 1, 3000, true, &data[3000..4096]));
    let mut granted = link.replies();
    assert_eq!(granted.len(), 2, "two R2Ts may be outstanding");
    let mut r2t_sn = 0;
    while !granted.is_empty() {
        let r2t = granted.remove(0);
        assert_eq!((r2t.opcode(), r2t.at(16), r2t.at(36)), (0x31, 1, r2t_sn));
        r2t_sn += 1;
        let (offset, len) = (r2t.at(40), r2t.at(44));
        assert!(len <= 8192);
        let half = len / 2;
        let part = |from: u32, to: u32| &data[from as usize..to as usize];
        link.no_event();
        link.send(&data_out(
            1,
            r2t.at(20),
            0,
            offset,
            false,
            part(offset, offset + half),
        ));
        link.send(&data_out(
            1,
            r2t.at(20),
            1,
            offset + half,
            true,
            part(offset + half, offset + len),
        ));
        granted.extend(link.replies());
    }
    assert_eq!(r2t_sn, 4);
    let command = link.command();
    assert_eq!(joined(&command.data_out), data);
    link.connection.respond(command.task, good(vec![]));
    assert_eq!(link.reply().at(36), 4, "four R2Ts were sent");
}

#[test]
fn transport_faults_are_answered_with_the_standards_sense() {
    let faulty = |keys: &str, request: initiator::Request| {
        let mut link = link(keys);
        link.send(&request);
        let sense = sense_of(&link.reply());
        link.no_event();
        link.send(&scsi(1, 2, 0x80, 0, &[0]));
        assert_eq!(
            link.command().task.itt,
            1,
            "the session goes on and the tag is free"
        );
        sense
    };
    let immediate = scsi(1, 1, 0xa0, 512, &[0x2a]).data(&[0; 512]);
    assert_eq!(faulty("ImmediateData=No\0", immediate), [0x0b, 0x0c, 0x0c]);
    let beyond_burst = scsi(1, 1, 0xa0, 8192, &[0x2a]).data(&[0; 4097]);
    assert_eq!(faulty(EARLY_DATA, beyond_burst), [0x0b, 0x0c, 0x0c]);
    let beyond_expected = scsi(1, 1, 0xa0, 512, &[0x2a]).data(&[0; 513]);
    assert_eq!(faulty(EARLY_DATA, beyond_expected), [0x0b, 0x0c, 0x0d]);
    assert_eq!(
        faulty("", scsi(1, 1, 0xe0, 512, &[0x2a])),
        [0x05, 0x24, 0x00]
    );
    assert_eq!(
        faulty("", scsi(1, 1, 0xa0, u32::MAX, &[0x2a])),
        [0x05, 0x24, 0x00]
    );
}

#[test]
fn wrong_data_sequence_numbers_fail_the_command() {
    for data_sn in [1, 27, u32::MAX] {
        let mut link = link("");
        link.send(&scsi(1, 1, 0xa0, 1024, &[0x2a]));
        let r2t = link.reply();
        link.send(&data_out(1, r2t.at(20), data_sn, 0, true, &[0; 1024]));
        assert_eq!(sense_of(&link.reply()), [0x0b, 0x0c, 0x0d]);
        link.send(&data_out(1, r2t.at(20), 1, 512, true, &[0; 512]));
        assert!(
            link.replies().is_empty(),
            "data of an ended command are dropped"
        );
        link.no_event();
    }
}

#[test]
fn data_with_an_unknown_transfer_tag_are_rejected_and_the_command_goes_on() {
    let mut link = link("");
    link.send(&scsi(1, 1, 0xa0, 512, &[0x2a]));
    let r2t = link.reply();
    link.send(&data_out(1, r2t.at(20) + 1, 0, 0, true, &[0; 512]));
    assert_eq!(link.reply().header[..3], [0x3f, 0x80, 0x09]);
    link.send(&data_out(1, r2t.at(20), 0, 0, true, &[0; 512]));
    assert_eq!(link.command().data_out.len(), 1);
}

#[test]
fn commands_outside_the_window_and_duplicates_are_ignored() {
    let mut link = Link::logged_in(
        PortalConfig {
            command_window: 2,
            ..PortalConfig::default()
        },
        "",
    );
    for cmd_sn in [0, 3, 0x8000_0000, u32::MAX] {
        link.send(&scsi(9, cmd_sn, 0x80, 0, &[0]));
    }
    link.no_event();
    assert!(link.replies().is_empty());
    link.send(&scsi(1, 1, 0x80, 0, &[0]));
    link.send(&scsi(2, 2, 0x80, 0, &[0]));
    let first = link.command();
    link.command();
    link.send(&scsi(3, 3, 0x80, 0, &[0]));
    link.no_event();
    link.connection.respond(first.task, good(vec![]));
    let reply = link.reply();
    assert_eq!(
        (reply.at(28), reply.at(32)),
        (3, 3),
        "the answer opens the window"
    );
    link.send(&scsi(3, 3, 0x80, 0, &[0]));
    assert_eq!(link.command().task.itt, 3);
}

#[test]
fn early_commands_wait_for_their_turn_and_immediate_ones_do_not() {
    let mut link = link(EARLY_DATA);
    link.send(&scsi(3, 3, 0xa0, 4, &[0x2a]).data(&[3; 4]));
    link.send(&scsi(2, 2, 0x20, 8192, &[0x2a]).data(&[2; 512]));
    link.send(&data_out(2, NO_TAG, 0, 512, true, &[2; 512]));
    link.send(&scsi(3, 3, 0x80, 0, &[0]));
    link.no_event();
    assert!(link.replies().is_empty(), "no R2T before its turn");
    let mut immediate = scsi(9, 4, 0x80, 0, &[0]);
    immediate.header[0] |= 0x40;
    link.send(&immediate);
    assert_eq!(link.command().task.itt, 9);
    link.send(&scsi(1, 1, 0x80, 0, &[0]));
    assert_eq!(link.command().task.itt, 1);
    assert_eq!(link.command().task.itt, 3);
    let r2t = link.reply();
    assert_eq!(
        (r2t.at(16), r2t.at(40), r2t.at(44), r2t.at(28)),
        (2, 1024, 7168, 3)
    );
    link.send(&data_out(2, r2t.at(20), 0, 1024, true, &[2; 7168]));
    assert_eq!(link.command().data_out.len(), 3);
}

#[test]
fn a_tag_in_use_is_refused_and_free_after_the_answer() {
    let mut link = link("");
    link.send(&scsi(1, 1, 0x80, 0, &[0]));
    let command = link.command();
    link.send(&scsi(1, 2, 0x80, 0, &[0]));
    assert_eq!(link.reply().header[..3], [0x3f, 0x80, 0x07]);
    link.connection.respond(command.task, good(vec![]));
    link.connection.respond(command.task, good(vec![]));
    assert_eq!(link.replies().len(), 1, "a second answer finds nothing");
    link.send(&scsi(1, 2, 0x80, 0, &[0]));
    link.command();
}

#[test]
fn immediate_commands_are_bounded() {
    let mut link = Link::logged_in(
        PortalConfig {
            command_window: 1,
            ..PortalConfig::default()
        },
        "",
    );
    for itt in 0..34 {
        let mut request = scsi(itt, 1, 0x80, 0, &[0]);
        request.header[0] |= 0x40;
        link.send(&request);
    }
    assert_eq!(link.reply().header[..3], [0x3f, 0x80, 0x06]);
}

#[test]
fn writes_beyond_the_budget_wait_and_go_on_in_order() {
    let config = PortalConfig {
        data_out_budget_bytes: 3000,
        ..PortalConfig::default()
    };
    let mut link = Link::logged_in(config, "");
    for (itt, len) in [(1, 2000), (2, 2000), (3, 500), (4, 9000)] {
        link.send(&scsi(itt, itt, 0xa0, len, &[0x2a]));
    }
    let mut order = Vec::new();
    let mut granted = link.replies();
    while let Some(r2t) = granted.first().cloned() {
        granted.remove(0);
        order.push(r2t.at(16));
        link.send(&data_out(
            r2t.at(16),
            r2t.at(20),
            0,
            0,
            true,
            &vec![0; r2t.at(44) as usize],
        ));
        let command = link.command();
        link.connection.respond(command.task, good(vec![]));
        granted.extend(
            link.replies()
                .into_iter()
                .filter(|reply| reply.opcode() == 0x31),
        );
    }
    assert_eq!(order, [1, 2, 3, 4]);
}
