//! What goes over the connections: what arrives is given to the link, messages leave.

use mio::net::TcpStream;
use twindisk_mirror::bundle::{Preamble, TooEarly};
use twindisk_mirror::message::Message;
use twindisk_mirror::{PeerId, frame};

use super::connection::{Arrived, Broken, Connection};
use super::peer_id;
use crate::engine::{Endpoint, Engine};

impl Engine {
    /// A peer (or anybody) connected to one of this node's mirror addresses.
    pub(crate) fn accept_link(&mut self, stream: TcpStream) {
        let Some(mirror) = &self.mirror else {
            return;
        };
        if let Ok(connection) = Connection::accepted(stream, &mirror.secret, self.core.now_ns) {
            // A connection that cannot be watched is dropped, which closes it.
            let _ = self.keep(Endpoint::Link(Box::new(connection)));
        }
    }

    pub(crate) fn serve_link(&mut self, place: usize) {
        let mut arrived = Vec::new();
        let Some(connection) = self.connection_mut(place) else {
            return;
        };
        let outcome = connection.pump(&mut arrived);
        let (was_heard, is_made, way) = (
            connection.take_heard(),
            connection.is_made(),
            connection.way,
        );
        self.mark_dirty(place);
        if is_made && let Some(way) = way {
            self.begin_handshakes(way.peer);
        }
        self.take_arrived(place, arrived);
        if was_heard && let Some(way) = self.connection(place).and_then(|one| one.way) {
            self.with_bundle(way.peer, |bundle, _, now_ns| bundle.heard(place, now_ns));
        }
        match outcome {
            Ok(true) => self.schedule(place),
            Ok(false) => {}
            Err(Broken::Reset) => self.close_connection(place, "reset"),
            Err(Broken::Protocol) => self.close_connection(place, "protocol"),
            Err(Broken::Version(theirs)) => {
                self.tell_version(place, theirs);
                self.close_connection(place, "protocol");
            }
        }
    }

    /// What arrived counts, whatever has become of the connection since.
    fn take_arrived(&mut self, place: usize, arrived: Vec<Arrived>) {
        let mut in_order = Vec::new();
        let mut outcome = Ok(());
        for thing in arrived {
            match thing {
                Arrived::Session(session) => self.connection_opened(place, &session),
                Arrived::Frame(preamble, frame) => {
                    outcome = outcome
                        .and_then(|()| self.frame_arrived(place, preamble, frame, &mut in_order));
                }
            }
        }
        let Some(way) = self.connection(place).and_then(|one| one.way) else {
            return;
        };
        // Those that were put in order were taken for good, so also before a link that breaks the rules is closed.
        for message in in_order {
            let (peer, now_ns) = (peer_id(way.peer), self.core.now_ns);
            self.core.node.receive(peer, message, now_ns);
        }
        if outcome.is_err() {
            self.close_link(way.peer, "protocol");
        }
    }

    fn frame_arrived(
        &mut self,
        place: usize,
        preamble: Preamble,
        frame: Option<(Message, usize)>,
        in_order: &mut Vec<Message>,
    ) -> Result<(), TooEarly> {
        let Some(way) = self.connection(place).and_then(|one| one.way) else {
            return Ok(());
        };
        self.with_bundle(way.peer, |bundle, wires, now_ns| {
            bundle.receive(preamble, frame, wires, now_ns, in_order)
        })
        .unwrap_or(Ok(()))
    }

    /// Send to a peer; a message to a peer without a link is dropped, as the mirror core expects.
    pub(crate) fn send(&mut self, peer: PeerId, message: &Message) {
        let place = peer.0 as usize;
        let sent_bytes = self.with_bundle(place, |bundle, wires, now_ns| {
            let frame = frame::encode(message);
            let len_bytes = frame.0.len() as u64 + frame.1.len_bytes();
            bundle.send(frame, wires, now_ns);
            len_bytes
        });
        let peer = self.peers.get_mut(place);
        if let Some(link) = peer.and_then(|peer| peer.link.as_mut()) {
            link.sent_bytes += sent_bytes.unwrap_or(0);
        }
    }

    /// Write what waits for peers now instead of at the end of the pass.
    pub(crate) fn flush_links(&mut self) {
        // What a connection that breaks leaves to the others is written at the end of the pass.
        for at in 0..self.dirty.len() {
            self.flush_link(self.dirty[at]);
        }
    }

    /// Write what waits for a connection. False: it broke, and there may be more to carry out.
    pub(crate) fn flush_link(&mut self, place: usize) -> bool {
        let Some(connection) = self.connection_mut(place) else {
            return true;
        };
        if connection.flush().is_err() {
            self.close_connection(place, "reset");
            return false;
        }
        if connection.is_to_be_read() {
            self.schedule(place);
        }
        true
    }
}
