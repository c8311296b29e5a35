//! Listening sockets: where initiators and peers come in.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use mio::net::{TcpListener, TcpStream};
use rustix::net::sockopt::{set_ip_freebind, set_ipv6_freebind, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use twindisk_iscsi::Redirect;

/// Most connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A nonblocking socket on an address that need not be there yet (`IP_FREEBIND`, ip(7)), reusable after a restart.
///
/// # Errors
/// The address is in use.
pub fn absent(address: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(family_of(address), kind, flags, None)?;
    if address.is_ipv4() {
        set_ip_freebind(&fd, true)?;
    } else {
        set_ipv6_freebind(&fd, true)?;
    }
    if kind == SocketType::STREAM {
        set_socket_reuseaddr(&fd, true)?;
    }
    bind(&fd, &address)?;
    Ok(fd)
}

/// The family of an address.
#[must_use]
pub fn family_of(address: SocketAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    }
}

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
        Self::of(TcpListener::bind(address)?, purpose)
    }

    /// The same on an address that need not be there yet (`IP_FREEBIND`, ip(7)).
    ///
    /// # Errors
    /// The address is in use.
    pub fn bind_absent(address: SocketAddr, purpose: Purpose) -> io::Result<Self> {
        let fd = absent(address, SocketType::STREAM)?;
        listen(&fd, BACKLOG)?;
        Self::of(TcpListener::from_std(fd.into()), purpose)
    }

    fn of(listener: TcpListener, purpose: Purpose) -> io::Result<Self> {
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
