//! What a connection does when its caller says that there is little or no room for what it brings.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod initiator;

use initiator::{Link, NO_TAG, Reply, Request, data_out, pattern, scsi, task_management};
use twindisk_iscsi::{PortalConfig, Room, ScsiResponse};

const WRITE: u8 = 0xa0;
const WRITE_MORE: u8 = 0x20;
const READ: u8 = 0xc0;
const R2T: u8 = 0x31;
const BUSY: u8 = 0x08;
const TASK_ABORTED: u8 = 0x40;
const TASK_SET_FULL: u8 = 0x28;

fn link() -> Link {
    let config = PortalConfig {
        data_out_budget_bytes: 8192,
        command_window: 8,
        ..PortalConfig::default()
    };
    Link::logged_in(config, "InitialR2T=No\0ImmediateData=Yes\0")
}

fn write(number: u32, len: u32) -> Request {
    scsi(0x100 + number, number, WRITE, len, &[0x2a])
}

/// What each PDU is about: its Initiator Task Tag's number and its opcode.
fn sent(link: &mut Link) -> Vec<(u32, u8)> {
    let told = |reply: &Reply| (reply.at(16) & 0xff, reply.opcode());
    link.replies().iter().map(told).collect()
}

fn statuses(link: &mut Link) -> Vec<(u32, u8)> {
    link.replies()
        .iter()
        .filter(|reply| reply.opcode() == 0x21)
        .map(|reply| (reply.at(16) & 0xff, reply.header[3]))
        .collect()
}

#[test]
fn while_room_is_short_one_command_at_a_time_is_asked_for_its_data() {
    let mut link = link();
    link.connection.set_room(Room::Short);
    for number in 1..=3 {
        link.send(&write(number, 2048));
    }
    let asked = link.reply();
    assert_eq!((asked.at(16), asked.opcode()), (0x101, R2T));
    assert_eq!(link.connection.awaited_bytes(), 2048);
    assert!(link.connection.awaits_data() && link.connection.waits_for_room());
    link.send(&data_out(0x101, asked.at(20), 0, 0, false, &pattern(1024)));
    assert_eq!(link.connection.awaited_bytes(), 1024);
    link.send(&data_out(
        0x101,
        asked.at(20),
        1,
        1024,
        true,
        &pattern(1024),
    ));
    assert_eq!(link.connection.awaited_bytes(), 0);
    assert!(!link.connection.awaits_data());
    assert_eq!(sent(&mut link), []);
    let first = link.command();
    link.connection.respond(first.task, ScsiResponse::default());
    assert_eq!(sent(&mut link), [(1, 0x21), (2, R2T)]);
    link.connection.set_room(Room::Free);
    assert_eq!(sent(&mut link), [(3, R2T)]);
    assert_eq!(link.connection.awaited_bytes(), 4096);
    assert!(!link.connection.waits_for_room());
}

#[test]
fn without_room_writes_that_wait_are_given_up_and_what_was_asked_for_is_taken() {
    let mut link = link();
    link.connection.set_room(Room::Short);
    for number in 1..=3 {
        link.send(&write(number, 2048));
    }
    let asked = link.reply();
    link.connection.set_room(Room::Spent);
    assert_eq!(
        statuses(&mut link),
        [(2, TASK_SET_FULL), (3, TASK_SET_FULL)]
    );
    link.send(&write(4, 2048).data(&pattern(1024)));
    link.send(&scsi(0x105, 5, WRITE_MORE, 2048, &[0x2a]));
    assert_eq!(
        statuses(&mut link),
        [(4, TASK_SET_FULL), (5, TASK_SET_FULL)]
    );
    // What is complete is no burden: it begins, ends, and is gone.
    link.send(&write(6, 1024).data(&pattern(1024)));
    link.send(&data_out(0x101, asked.at(20), 0, 0, true, &pattern(2048)));
    assert_eq!(
        (link.command().task.itt, link.command().task.itt),
        (0x106, 0x101)
    );
    assert_eq!(link.connection.awaited_bytes(), 0);
    // Data of a command that was given up were under way.
    link.send(&data_out(0x105, NO_TAG, 0, 0, true, &pattern(2048)));
    assert_eq!(sent(&mut link), []);
}

#[test]
fn a_session_without_other_commands_is_told_busy() {
    let mut link = link();
    link.connection.set_room(Room::Spent);
    link.send(&write(1, 2048));
    let answer = link.reply();
    assert_eq!((answer.opcode(), answer.header[3]), (0x21, BUSY));
    // The window is as wide as before: nothing is left of the command.
    assert_eq!((answer.at(28), answer.at(32)), (2, 9));
}

#[test]
fn data_without_r2t_are_given_up_when_there_is_no_room_any_more() {
    let mut link = link();
    link.send(&scsi(0x101, 1, WRITE_MORE, 4096, &[0x2a]));
    link.send(&data_out(0x101, NO_TAG, 0, 0, false, &pattern(1024)));
    assert!(link.connection.awaits_data());
    link.connection.set_room(Room::Spent);
    link.send(&data_out(0x101, NO_TAG, 1, 1024, false, &pattern(1024)));
    assert_eq!(statuses(&mut link), [(1, BUSY)]);
    assert!(!link.connection.awaits_data());
}

#[test]
fn what_comes_before_its_turn_is_not_kept_without_room() {
    let mut link = link();
    link.connection.set_room(Room::Spent);
    link.send(&write(2, 1024).data(&pattern(1024)));
    link.send(
        &Request::new(0x00, 0x80)
            .itt(0x103)
            .cmd_sn(3)
            .data(&pattern(1024)),
    );
    let rejected = link.reply();
    assert_eq!((rejected.opcode(), rejected.header[2]), (0x3f, 0x0a));
    assert!(link.connection.awaits_data(), "for the first command");
    link.send(&scsi(0x101, 1, READ, 512, &[0x28]));
    assert_eq!(statuses(&mut link), [(2, TASK_SET_FULL)]);
    assert_eq!(link.command().task.itt, 0x101);
    assert!(!link.connection.awaits_data());
}

#[test]
fn a_command_that_ends_while_its_event_waits_is_never_reported() {
    let mut link = link();
    link.send(&scsi(0x101, 1, READ, 512, &[0x28]));
    link.send(&scsi(0x102, 2, READ, 512, &[0x28]));
    assert!(link.connection.peek_event().is_some());
    link.connection.abort_unreported();
    assert!(link.connection.peek_event().is_none());
    assert_eq!(statuses(&mut link), [(1, TASK_ABORTED), (2, TASK_ABORTED)]);
    link.send(&scsi(0x103, 3, READ, 512, &[0x28]));
    assert_eq!(link.command().task.itt, 0x103);
}

#[test]
fn a_drop_of_a_command_takes_what_it_awaits_along() {
    let mut link = link();
    link.send(&write(1, 4096));
    assert_eq!(sent(&mut link), [(1, R2T)]);
    assert_eq!(link.connection.awaited_bytes(), 4096);
    link.send(&task_management(0x110, 2, 1, 0x101, 1));
    assert_eq!(link.connection.awaited_bytes(), 0);
    link.send(&write(2, 8192));
    assert_eq!(link.connection.awaited_bytes(), 8192);
    link.send(&scsi(0x103, 3, READ, 512, &[0x28]));
    let read = link.command();
    link.connection.refuse_for_room(read.task);
    assert!(statuses(&mut link).contains(&(3, TASK_SET_FULL)));
}
