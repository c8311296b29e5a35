//! A disk operation failed: this copy is not to be trusted any more.

use super::{Copy, DiskUse, Mode};
use crate::message::Body;
use crate::report::Report;

impl Copy {
    /// A disk operation failed.
    pub(super) fn disk_failed(&mut self, usage: &DiskUse, errno: i32) {
        let operation = match usage {
            DiskUse::Task(task) => self.tasks.get(task).map_or("I/O", |task| task.kind.name()),
            DiskUse::Persist => "persist",
            DiskUse::Allocated => "list allocated extents",
            DiskUse::DrainFlush | DiskUse::ResyncFlush | DiskUse::HeldFlush => "flush",
            DiskUse::Stale { .. } => {
                self.stale -= 1;
                "I/O"
            }
        };
        self.give_up(operation, errno);
    }

    /// This copy serves nothing any more and takes no part.
    pub(super) fn give_up(&mut self, operation: &'static str, errno: i32) {
        if matches!(self.mode, Mode::Failed) {
            return;
        }
        if self.attaching().is_some() || self.rejoin.is_some() {
            self.say(0, Body::AttachRefused);
        }
        self.gone = true;
        self.abandon();
        self.persisting.fail();
        self.enter(Mode::Failed);
        self.report(Report::DiskFailed { operation, errno });
    }
}
