//! `SimBundle`: the connections of one simulated link, as both cores' engines have them, without any I/O.

use std::collections::BTreeMap;

use bytes::BytesMut;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use twindisk_runtime::mirror::bundle::{Bundle, ConnectionId, Frame, Preamble, Progress, Wires};
use twindisk_runtime::mirror::frame::{self, HEADER_BYTES};

use super::SimNode;
use super::records::wrong;

/// What a byte that waits adds to the time of arrival: a gigabit each second.
const NS_PER_BYTE: u64 = 8;

/// What a bundle knows of a connection, and what it wants sent.
#[derive(Default)]
struct Sockets {
    ways: BTreeMap<ConnectionId, Way>,
    sent: Vec<(ConnectionId, Vec<u8>)>,
}

struct Way {
    round_trip_ns: u64,
    given_bytes: u64,
    confirmed_bytes: u64,
}

impl Wires for Sockets {
    fn progress(&mut self, id: ConnectionId) -> Progress {
        let Some(way) = self.ways.get(&id) else {
            return Progress::GONE;
        };
        let load_bytes = way.given_bytes - way.confirmed_bytes;
        Progress {
            load_bytes,
            confirmed_bytes: way.confirmed_bytes,
            round_trip_ns: way.round_trip_ns,
            arrival_ns: way.round_trip_ns / 2 + load_bytes * NS_PER_BYTE,
        }
    }

    fn send(&mut self, over: ConnectionId, preamble: Preamble, frame: Option<Frame>) -> u64 {
        let mut bytes = preamble.encode().to_vec();
        if let Some((header, payload)) = frame {
            bytes.extend_from_slice(&header);
            bytes.extend_from_slice(&payload.to_contiguous());
        }
        let Some(way) = self.ways.get_mut(&over) else {
            return 0;
        };
        way.given_bytes += bytes.len() as u64;
        self.sent.push((over, bytes));
        way.given_bytes
    }
}

/// One side of a link.
#[pyclass(module = "twindisk._native")]
pub struct SimBundle {
    bundle: Bundle,
    sockets: Sockets,
}

#[pymethods]
impl SimBundle {
    /// A link without a connection; `several` are expected or not.
    #[new]
    fn new(several: bool, interval_ns: u64, silence_ns: u64) -> Self {
        Self {
            bundle: Bundle::new(several, interval_ns, silence_ns),
            sockets: Sockets::default(),
        }
    }

    /// A connection has joined.
    fn join(&mut self, connection: usize, round_trip_ns: u64, now_ns: u64) {
        let way = Way {
            round_trip_ns,
            given_bytes: 0,
            confirmed_bytes: 0,
        };
        self.sockets.ways.insert(connection, way);
        self.bundle.join(connection, now_ns);
    }

    /// A connection has ended; false: the link has, too.
    fn leave(&mut self, connection: usize, now_ns: u64) -> bool {
        self.sockets.ways.remove(&connection);
        let left = self.bundle.leave(connection, &mut self.sockets, now_ns);
        left.is_ok()
    }

    /// Send a frame.
    fn send(&mut self, frame: &[u8], now_ns: u64) -> PyResult<()> {
        let (header, payload) = frame
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or_else(|| wrong("a frame has a header"))?;
        let payload = bytes::Bytes::copy_from_slice(payload);
        self.bundle
            .send((*header, payload.into()), &mut self.sockets, now_ns);
        Ok(())
    }

    /// What a bundle of the other side sent over a connection arrived; the node gets the messages whose turn it is.
    fn receive(
        &mut self,
        node: &mut SimNode,
        peer: u32,
        connection: usize,
        data: &[u8],
        now_ns: u64,
    ) -> PyResult<()> {
        let mut input = BytesMut::from(data);
        let damaged = |what: &dyn std::fmt::Display| wrong(&what.to_string());
        let preamble = Preamble::decode(&mut input)
            .map_err(|error| damaged(&error))?
            .ok_or_else(|| wrong("a part of a preamble"))?;
        let message = frame::decode(&mut input).map_err(|error| damaged(&error))?;
        self.bundle.heard(connection, now_ns);
        let mut in_order = Vec::new();
        let came = message.map(|message| (message, data.len()));
        self.bundle
            .receive(preamble, came, &mut self.sockets, now_ns, &mut in_order)
            .map_err(|error| damaged(&error))?;
        for message in in_order {
            node.take(peer, message, now_ns);
        }
        Ok(())
    }

    /// The other side's machine has confirmed bytes that were sent over a connection.
    fn confirmed(&mut self, connection: usize, len_bytes: u64) {
        if let Some(way) = self.sockets.ways.get_mut(&connection) {
            way.confirmed_bytes += len_bytes;
        }
    }

    /// Time passed; a connection that is to be ended because it was silent.
    fn tick(&mut self, now_ns: u64) -> Option<usize> {
        self.bundle.tick(&mut self.sockets, now_ns)
    }

    /// What is to be sent, in order: over which connection, and the bytes.
    fn take_sent<'py>(&mut self, py: Python<'py>) -> Vec<(usize, Bound<'py, PyBytes>)> {
        let sent = self.sockets.sent.drain(..);
        sent.map(|(over, bytes)| (over, PyBytes::new(py, &bytes)))
            .collect()
    }
}
