//! Task management: RFC 7143 §11.5, §11.6.

mod initiator;

use initiator::{Link, data_out, scsi, task_management};
use twindisk_iscsi::{
    Event, PortalConfig, ScsiResponse, TaskFunction, TaskManagementResponse, TaskTag,
};

const ABORT_TASK: u8 = 1;
/// Status.
const TASK_ABORTED: u8 = 0x40;

fn link() -> Link {
    Link::logged_in(PortalConfig::default(), "")
}

fn event(link: &mut Link) -> (TaskTag, TaskFunction) {
    match link.connection.next_event() {
        Some(Event::TaskManagement { task, function, .. }) => (task, function),
        other => panic!("no task management but {other:?}"),
    }
}

fn response(link: &mut Link) -> u8 {
    let reply = link.reply();
    assert_eq!(reply.opcode(), 0x22);
    reply.header[2]
}

#[test]
fn an_aborted_command_that_runs_is_never_answered() {
    let mut link = link();
    link.send(&scsi(1, 1, 0x80, 0, &[0]));
    let command = link.command();
    link.send(&task_management(2, 2, ABORT_TASK, 1, 1));
    let (task, function) = event(&mut link);
    assert_eq!(
        function,
        TaskFunction::AbortTask {
            referenced: command.task
        }
    );
    link.connection
        .respond_task_management(task, TaskManagementResponse::Complete);
    let reply = link.reply();
    assert_eq!(
        (reply.opcode(), reply.header[2], reply.at(32)),
        (0x22, 0, 129)
    );
    link.send(&scsi(1, 2, 0x80, 0, &[0]));
    let reused = link.command();
    link.connection
        .respond(command.task, ScsiResponse::default());
    assert!(
        link.replies().is_empty(),
        "the late answer does not hit the tag's new command"
    );
    link.connection
        .respond(reused.task, ScsiResponse::default());
    assert_eq!(link.reply().at(16), 1);
}

#[test]
fn a_command_that_ends_before_its_abort_is_answered() {
    let mut link = link();
    link.send(&scsi(1, 1, 0x80, 0, &[0]));
    let command = link.command();
    link.send(&task_management(2, 2, ABORT_TASK, 1, 1));
    let (task, _) = event(&mut link);
    link.connection
        .respond(command.task, ScsiResponse::default());
    link.connection
        .respond_task_management(task, TaskManagementResponse::Complete);
    let opcodes: Vec<_> = link
        .replies()
        .iter()
        .map(|reply| (reply.opcode(), reply.header[2]))
        .collect();
    assert_eq!(opcodes, [(0x21, 0), (0x22, 1)]);
}

#[test]
fn a_command_that_collects_data_is_aborted_at_once() {
    let mut link = link();
    link.send(&scsi(1, 1, 0xa0, 4096, &[0x2a]));
    let r2t = link.reply();
    link.send(&data_out(1, r2t.at(20), 0, 0, false, &[0; 512]));
    link.send(&task_management(2, 2, ABORT_TASK, 1, 1));
    assert_eq!(response(&mut link), 0);
    link.send(&data_out(1, r2t.at(20), 1, 512, true, &[0; 3584]));
    link.no_event();
    assert!(link.replies().is_empty());
    link.send(&scsi(1, 2, 0x80, 0, &[0]));
    assert_eq!(link.command().task.itt, 1);
}

#[test]
fn aborting_what_is_not_there() {
    let mut link = link();
    link.send(&task_management(2, 1, ABORT_TASK, 77, 0));
    assert_eq!(response(&mut link), 1);
    // RefCmdSN 1 is missing before CmdSN 3: it counts as received and is ignored when it comes.
    link.send(&scsi(5, 2, 0x80, 0, &[0]));
    link.no_event();
    link.send(&task_management(2, 3, ABORT_TASK, 77, 1));
    assert_eq!(link.command().task.itt, 5);
    assert_eq!(response(&mut link), 0);
    link.send(&scsi(77, 1, 0x80, 0, &[0]));
    link.no_event();
    assert!(link.replies().is_empty());
}

#[test]
fn a_parked_command_can_be_aborted() {
    let mut link = link();
    link.send(&scsi(5, 2, 0x80, 0, &[0]));
    link.send(&task_management(9, 3, ABORT_TASK, 5, 2));
    assert_eq!(response(&mut link), 0);
    link.send(&scsi(4, 1, 0x80, 0, &[0]));
    link.send(&scsi(6, 3, 0x80, 0, &[0]));
    assert_eq!((link.command().task.itt, link.command().task.itt), (4, 6));
    link.no_event();
}

#[test]
fn resets_end_what_came_before_them_at_their_lun() {
    let mut link = link();
    let at_lun_1 = |itt, cmd_sn| {
        let mut request = scsi(itt, cmd_sn, 0x80, 0, &[0]);
        request.header[9] = 1;
        request
    };
    link.send(&scsi(1, 1, 0x80, 0, &[0]));
    link.send(&at_lun_1(2, 2));
    link.send(&scsi(3, 3, 0xa0, 512, &[0x2a]));
    link.replies();
    let (first, other_lun) = (link.command(), link.command());
    link.send(&task_management(8, 4, 5, 0xffff_ffff, 0));
    let (task, function) = event(&mut link);
    assert_eq!(function, TaskFunction::LunReset);
    link.send(&scsi(4, 4, 0x80, 0, &[0]));
    let later = link.command();
    link.connection
        .respond_task_management(task, TaskManagementResponse::Complete);
    assert_eq!(response(&mut link), 0);
    for command in [first, other_lun, later] {
        link.connection
            .respond(command.task, ScsiResponse::default());
    }
    let answered: Vec<_> = link.replies().iter().map(|reply| reply.at(16)).collect();
    assert_eq!(answered, [2, 4]);
}

#[test]
fn a_request_that_fails_ends_nothing() {
    let mut link = link();
    link.send(&scsi(1, 1, 0x80, 0, &[0]));
    let command = link.command();
    link.send(&task_management(8, 2, 2, 0xffff_ffff, 0));
    let (task, function) = event(&mut link);
    assert_eq!(function, TaskFunction::AbortTaskSet);
    link.connection
        .respond_task_management(task, TaskManagementResponse::NoSuchLun);
    assert_eq!(response(&mut link), 2);
    link.connection
        .respond(command.task, ScsiResponse::default());
    assert_eq!(link.reply().opcode(), 0x21);
}

#[test]
fn functions_that_are_not_supported_are_answered_so() {
    for (function, expected) in [(3, 5), (8, 4), (9, 5), (0, 5), (0x7f, 5)] {
        let mut link = link();
        link.send(&task_management(1, 1, function, 0xffff_ffff, 0));
        assert_eq!(response(&mut link), expected);
        link.no_event();
    }
    for (number, function) in [
        (4, TaskFunction::ClearTaskSet),
        (6, TaskFunction::TargetWarmReset),
        (7, TaskFunction::TargetColdReset),
    ] {
        let mut link = link();
        link.send(&task_management(1, 1, number, 0xffff_ffff, 0));
        assert_eq!(event(&mut link).1, function);
    }
}

#[test]
fn a_request_in_order_takes_its_turn() {
    let mut link = link();
    let mut request = task_management(8, 2, 5, 0xffff_ffff, 0);
    request.header[0] &= 0x3f;
    link.send(&request);
    link.no_event();
    link.send(&scsi(1, 1, 0x80, 0, &[0]));
    link.command();
    let (task, _) = event(&mut link);
    link.connection
        .respond_task_management(task, TaskManagementResponse::Complete);
    let reply = link.reply();
    assert_eq!((reply.at(28), reply.at(32)), (3, 130));
}

#[test]
fn another_nexus_ends_the_commands_of_this_one_that_lack_data() {
    let mut link = link();
    link.send(&scsi(1, 1, 0x80, 0, &[0]));
    link.send(&scsi(2, 2, 0xa0, 512, &[0x2a]));
    let command = link.command();
    let ttt = link.reply().at(20);
    // Not in its turn: it comes after what happens now.
    link.send(&scsi(4, 4, 0xa0, 512, &[0x2a]));
    link.replies();
    link.connection.abort_unreported();
    let aborted = link.reply();
    assert_eq!((aborted.opcode(), aborted.at(16)), (0x21, 2));
    assert_eq!(aborted.header[3], TASK_ABORTED);
    // The data that were asked for are still under way.
    link.send(&data_out(2, ttt, 0, 0, true, &[7; 512]));
    link.no_event();
    link.connection
        .respond(command.task, ScsiResponse::default());
    assert_eq!(link.reply().at(16), 1);
    link.send(&scsi(3, 3, 0x80, 0, &[0]));
    assert_eq!(link.command().task.itt, 3);
    assert_eq!(link.reply().opcode(), 0x31, "data for 4 are asked for");
}

#[test]
fn a_reset_that_fails_ends_what_it_had_stopped() {
    for (answer, left) in [
        (TaskManagementResponse::Complete, vec![]),
        (TaskManagementResponse::Rejected, vec![TASK_ABORTED]),
    ] {
        let mut link = link();
        link.send(&scsi(1, 1, 0xa0, 512, &[0x2a]));
        let ttt = link.reply().at(20);
        link.send(&task_management(8, 2, 5, 0xffff_ffff, 0));
        let (task, _) = event(&mut link);
        link.send(&data_out(1, ttt, 0, 0, true, &[7; 512]));
        link.no_event();
        link.connection.respond_task_management(task, answer);
        let replies = link.replies();
        let statuses = replies.iter().filter(|reply| reply.opcode() == 0x21);
        let statuses: Vec<_> = statuses.map(|reply| reply.header[3]).collect();
        assert_eq!(statuses, left);
        assert_eq!(replies.last().unwrap().opcode(), 0x22);
    }
}

#[test]
fn a_request_is_taken_before_commands_that_wait_and_those_that_it_ends_are_never_reported() {
    for (function, answer, statuses) in [
        (5, TaskManagementResponse::Complete, vec![]),
        (2, TaskManagementResponse::Complete, vec![]),
        (
            5,
            TaskManagementResponse::Rejected,
            vec![(1, TASK_ABORTED), (2, TASK_ABORTED)],
        ),
    ] {
        let mut link = link();
        link.send(&scsi(1, 1, 0x80, 0, &[0]));
        link.send(&scsi(2, 2, 0x80, 0, &[0]));
        link.send(&scsi(3, 3, 0x80, 0, &[0]).at(8, 1 << 16));
        link.send(&task_management(8, 4, function, 0xffff_ffff, 0));
        link.send(&scsi(4, 4, 0x80, 0, &[0]));
        let taken = link.connection.next_task_management();
        let Some(Event::TaskManagement { task, .. }) = taken else {
            panic!("{taken:?}");
        };
        assert_eq!(link.connection.next_task_management(), None);
        // Before the request is answered and after it.
        assert_eq!(link.command().task.itt, 3);
        link.connection.respond_task_management(task, answer);
        assert_eq!(link.command().task.itt, 4);
        link.no_event();
        let replies = link.replies();
        let ended: Vec<_> = replies
            .iter()
            .filter(|reply| reply.opcode() == 0x21)
            .map(|reply| (reply.at(16), reply.header[3]))
            .collect();
        assert_eq!(ended, statuses);
        let last = replies.last().unwrap();
        assert_eq!((last.opcode(), last.header[2]), (0x22, answer as u8));
        // Four numbers were used, two commands are open.
        assert_eq!((last.at(28), last.at(32)), (5, 5 + 128 - 2 - 1));
    }
}

#[test]
fn a_command_that_waits_to_be_taken_is_aborted_by_a_request_that_is_taken_first() {
    for twice in [false, true] {
        let mut link = link();
        link.send(&scsi(1, 1, 0x80, 0, &[0]));
        link.send(&scsi(2, 2, 0x80, 0, &[0]));
        link.send(&task_management(8, 3, ABORT_TASK, 1, 1));
        let taken = link.connection.next_task_management();
        let Some(Event::TaskManagement { task, .. }) = taken else {
            panic!("{taken:?}");
        };
        if twice {
            link.send(&task_management(9, 3, ABORT_TASK, 1, 1));
            assert_eq!(response(&mut link), 0);
        }
        link.connection
            .respond_task_management(task, TaskManagementResponse::Complete);
        assert_eq!(response(&mut link), u8::from(twice), "or it has ended");
        assert_eq!(link.command().task.itt, 2);
        link.no_event();
    }
}
