//! One TCP connection of one initiator.

use std::sync::Arc;

use bytes::BytesMut;

use crate::config::PortalConfig;
use crate::directory::Directory;
use crate::error::ProtocolError;
use crate::event::{Event, LoginRefusal, ScsiResponse, TaskManagementResponse, TaskTag};
use crate::transmit::TransmitQueue;

/// The target's end of one TCP connection; see the crate's documentation for how it is driven.
pub struct Connection {
    config: Arc<PortalConfig>,
    transmit: TransmitQueue,
}

impl Connection {
    /// Begin a connection that was just accepted at `now_ns` (any monotonic clock; the same for [`Self::tick`]).
    #[must_use]
    pub fn new(config: Arc<PortalConfig>, now_ns: u64) -> Self {
        let _ = now_ns;
        Self {
            config,
            transmit: TransmitQueue::default(),
        }
    }

    /// Consume all whole PDUs of `input` and leave the rest in it.
    ///
    /// Data segments stay slices of `input`'s buffer. Consumes nothing between [`Event::SessionRequested`] and its
    /// answer, and nothing after [`Event::Finished`]. Take all events after each call.
    ///
    /// # Errors
    /// The connection has to be closed at once; what waits in [`Self::transmit`] may be written first.
    pub fn receive(
        &mut self,
        input: &mut BytesMut,
        directory: &dyn Directory,
    ) -> Result<(), ProtocolError> {
        let _ = (input, directory, &self.config);
        Ok(())
    }

    /// How many bytes are missing in `input` until [`Self::receive`] can consume the PDU at its front (at least 1):
    /// a hint for how much room to reserve.
    #[must_use]
    pub fn bytes_wanted(&self, input: &BytesMut) -> usize {
        48usize.saturating_sub(input.len()).max(1)
    }

    /// The next event, oldest first.
    pub fn next_event(&mut self) -> Option<Event> {
        None
    }

    /// Let the requested session begin under a TSIH that is not 0. Ignored when no login awaits an answer.
    pub fn accept_login(&mut self, tsih: u16) {
        let _ = tsih;
    }

    /// Refuse the requested session; [`Event::Finished`] follows. Ignored when no login awaits an answer.
    pub fn reject_login(&mut self, refusal: LoginRefusal) {
        let _ = refusal;
    }

    /// Answer a command. Ignored when the task was aborted meanwhile.
    pub fn respond(&mut self, task: TaskTag, response: ScsiResponse) {
        let _ = (task, response);
    }

    /// Answer a task management request. With [`TaskManagementResponse::Complete`] the tasks that it names end
    /// unanswered.
    pub fn respond_task_management(&mut self, task: TaskTag, response: TaskManagementResponse) {
        let _ = (task, response);
    }

    /// End all commands unanswered, those of one LUN or (None) all, because another I_T nexus reset or cleared them.
    pub fn abort_tasks(&mut self, lun: Option<u64>) {
        let _ = lun;
    }

    /// Ask the initiator by an Asynchronous Message to log out within `seconds` (RFC 7143 §11.9.1, event 1).
    pub fn request_logout(&mut self, seconds: u16) {
        let _ = seconds;
    }

    /// Let time pass: watches over the login's time and the initiator's silence. Call it at least once a second.
    ///
    /// # Errors
    /// The connection has to be closed: the login took too long or a NOP-In was not answered.
    pub fn tick(&mut self, now_ns: u64) -> Result<(), ProtocolError> {
        let _ = now_ns;
        Ok(())
    }

    /// What waits to be sent.
    pub fn transmit(&mut self) -> &mut TransmitQueue {
        &mut self.transmit
    }
}
