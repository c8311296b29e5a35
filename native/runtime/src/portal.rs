//! Listening sockets: where initiators and peers come in.

use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use twindisk_iscsi::Redirect;

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Initiators.
    Portal,
    /// Peers' data links.
    Mirror,
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    /// The socket; registered with the engine's poll by its owner.
    pub listener: TcpListener,
    /// Who connects here.
    pub purpose: Purpose,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where initiators are sent on to from here.
    pub redirect: Option<Redirect>,
}

impl Listener {
    /// Listen (backlog 1024, address reusable after a restart).
    ///
    /// # Errors
    /// The address is not ours or in use.
    pub fn bind(address: SocketAddr, purpose: Purpose) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            purpose,
            address,
            redirect: None,
        })
    }

    /// The next connection that waits, if any. Errors of one connection (it was reset already) are skipped.
    pub fn accept(&self) -> Option<(TcpStream, SocketAddr)> {
        loop {
            match self.listener.accept() {
                Ok(accepted) => return Some(accepted),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                    ) => {}
                // Out of descriptors, or nothing waits: the next connection brings a new event.
                Err(_) => return None,
            }
        }
    }
}
