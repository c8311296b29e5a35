//! How two nodes prove to each other that they share the secret, before the first frame (docs/protocols/mirror.md).
//!
//! ```text
//! dialer   -> listener   hello:  magic, version, nonce A, join, dialer's mirror address
//! listener -> dialer     reply:  magic, version, nonce B, proof over (A, B, "listener", address, join)
//! dialer   -> listener   finish: proof over (A, B, "dialer", address, join)
//! ```
//! A listener of another version answers with magic and its version alone, and closes.
//!
//! *join* is zeros for a new session. Both then hold its key HMAC(secret, A, B, "session", ...) with which heartbeats are
//! tagged, and its id, the first half of the same with "name". A further connection says that id and so joins the session; it
//! proves the secret with nonces of its own, so that the id alone, which anybody on the way has seen, is worth nothing. A peer
//! without the secret learns nothing of it and gets no further than this.

use bytes::{Buf, BytesMut};
use hmac::{Hmac, Mac};
use sha2::Sha256;

const MAGIC: [u8; 4] = *b"TDL1";
/// Version of the mirror link's protocol.
pub const VERSION: u8 = 8;
const NONCE_BYTES: usize = 32;
const PROOF_BYTES: usize = 32;
const ID_BYTES: usize = 16;
/// What a connection that begins a session says in place of an id.
const NEW: SessionId = [0; ID_BYTES];
/// Longest mirror address in a hello.
const ADDRESS_MAX_BYTES: usize = 64;

/// Random bytes that the caller draws for each session.
pub type Nonce = [u8; NONCE_BYTES];

/// What a further connection calls the session that it joins. Never all zeros, and no secret.
pub type SessionId = [u8; ID_BYTES];

/// Why a handshake failed; close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Not a peer of ours.
    #[error("not a twindisk mirror link")]
    Magic,
    /// Another protocol version.
    #[error(
        "the peer speaks version {0} of the mirror link, this node version {VERSION}: both need the same software"
    )]
    Version(u8),
    /// The address is not printable or too long.
    #[error("malformed mirror address")]
    Address,
    /// The other side does not know the secret.
    #[error("the shared secret does not match")]
    Proof,
    /// The session's id came out as zeros, by a chance of 1 in 2^128; another try has other nonces.
    #[error("the session has no id")]
    Id,
}

/// The outcome of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// What further connections join it by.
    pub id: SessionId,
    /// Key of its heartbeats; None: the connection joins a session that has one.
    pub key: Option<[u8; 32]>,
    /// Mirror address by which the dialer named itself.
    pub dialer: String,
}

enum Stage {
    /// The listener waits for a hello.
    Hello,
    /// The dialer waits for the reply.
    Reply,
    /// The listener waits for the dialer's proof.
    Finish { dialer_nonce: Nonce },
}

/// What a listener says to a dialer of another version before it closes: enough for that one to know why.
#[must_use]
pub fn parting_word() -> [u8; 5] {
    let mut word = [VERSION; 5];
    word[..4].copy_from_slice(&MAGIC);
    word
}

/// One side of a handshake.
pub struct Handshake {
    secret: Vec<u8>,
    nonce: Nonce,
    address: String,
    join: SessionId,
    stage: Stage,
}

impl Handshake {
    /// The dialer's side; its hello is to be sent first. `join`: the session that this is a further connection of, if any.
    #[must_use]
    pub fn dial(
        secret: &[u8],
        nonce: Nonce,
        own_address: &str,
        join: Option<SessionId>,
    ) -> (Self, Vec<u8>) {
        let join = join.unwrap_or(NEW);
        let mut hello = opening(&nonce);
        hello.extend(join);
        hello.push(u8::try_from(own_address.len()).unwrap_or(u8::MAX));
        hello.extend(own_address.as_bytes());
        (
            Self {
                secret: secret.to_vec(),
                nonce,
                address: own_address.to_owned(),
                join,
                stage: Stage::Reply,
            },
            hello,
        )
    }

    /// The listener's side.
    #[must_use]
    pub fn listen(secret: &[u8], nonce: Nonce) -> Self {
        Self {
            secret: secret.to_vec(),
            nonce,
            address: String::new(),
            join: NEW,
            stage: Stage::Hello,
        }
    }

    /// Take what was received: bytes to be sent, and the session once it stands. Bytes after the handshake are left.
    ///
    /// # Errors
    /// [`HandshakeError`]: close the connection without a word, or with [`parting_word`] if the dialer's version is another one.
    pub fn receive(
        &mut self,
        input: &mut BytesMut,
    ) -> Result<(Vec<u8>, Option<Session>), HandshakeError> {
        match self.stage {
            Stage::Hello => self.receive_hello(input).map(|reply| (reply, None)),
            Stage::Reply => self.receive_reply(input),
            Stage::Finish { dialer_nonce } => {
                if input.len() < PROOF_BYTES {
                    return Ok((Vec::new(), None));
                }
                let proof = input.split_to(PROOF_BYTES);
                self.verify(&dialer_nonce, &self.nonce, b"dialer", &proof)?;
                let session = self.session(&dialer_nonce, &self.nonce)?;
                Ok((Vec::new(), Some(session)))
            }
        }
    }

    fn receive_hello(&mut self, input: &mut BytesMut) -> Result<Vec<u8>, HandshakeError> {
        let fixed = 5 + NONCE_BYTES + ID_BYTES + 1;
        check_opening(input)?;
        if input.len() < fixed {
            return Ok(Vec::new());
        }
        let address_bytes = usize::from(input[fixed - 1]);
        if address_bytes == 0 || address_bytes > ADDRESS_MAX_BYTES {
            return Err(HandshakeError::Address);
        }
        if input.len() < fixed + address_bytes {
            return Ok(Vec::new());
        }
        let dialer_nonce = take_nonce(input);
        input.copy_to_slice(&mut self.join);
        input.advance(1);
        let address = input.split_to(address_bytes);
        if !address.is_ascii() || address.iter().any(u8::is_ascii_control) {
            return Err(HandshakeError::Address);
        }
        self.address = String::from_utf8_lossy(&address).into_owned();
        let mut reply = opening(&self.nonce);
        reply.extend(self.proof(&dialer_nonce, &self.nonce, b"listener"));
        self.stage = Stage::Finish { dialer_nonce };
        Ok(reply)
    }

    fn receive_reply(
        &mut self,
        input: &mut BytesMut,
    ) -> Result<(Vec<u8>, Option<Session>), HandshakeError> {
        check_opening(input)?;
        if input.len() < 5 + NONCE_BYTES + PROOF_BYTES {
            return Ok((Vec::new(), None));
        }
        let listener_nonce = take_nonce(input);
        let proof = input.split_to(PROOF_BYTES);
        self.verify(&self.nonce, &listener_nonce, b"listener", &proof)?;
        let finish = self.proof(&self.nonce, &listener_nonce, b"dialer");
        let session = self.session(&self.nonce, &listener_nonce)?;
        Ok((finish.to_vec(), Some(session)))
    }

    fn session(
        &self,
        dialer_nonce: &Nonce,
        listener_nonce: &Nonce,
    ) -> Result<Session, HandshakeError> {
        let (id, key) = if self.join == NEW {
            let name = self.proof(dialer_nonce, listener_nonce, b"name");
            let key = self.proof(dialer_nonce, listener_nonce, b"session");
            (id_from(&name)?, Some(key))
        } else {
            (self.join, None)
        };
        Ok(Session {
            id,
            key,
            dialer: self.address.clone(),
        })
    }

    fn proof(
        &self,
        dialer_nonce: &Nonce,
        listener_nonce: &Nonce,
        word: &[u8],
    ) -> [u8; PROOF_BYTES] {
        self.mac(dialer_nonce, listener_nonce, word)
            .finalize()
            .into_bytes()
            .into()
    }

    fn verify(
        &self,
        a: &Nonce,
        b: &Nonce,
        word: &[u8],
        proof: &[u8],
    ) -> Result<(), HandshakeError> {
        self.mac(a, b, word)
            .verify_slice(proof)
            .map_err(|_| HandshakeError::Proof)
    }

    fn mac(&self, dialer_nonce: &Nonce, listener_nonce: &Nonce, word: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.secret)
            .expect("HMAC takes keys of any length");
        mac.update(dialer_nonce);
        mac.update(listener_nonce);
        mac.update(word);
        mac.update(&[0]);
        mac.update(self.address.as_bytes());
        mac.update(&self.join);
        mac
    }
}

fn id_from(name: &[u8; PROOF_BYTES]) -> Result<SessionId, HandshakeError> {
    let mut id = NEW;
    id.copy_from_slice(&name[..ID_BYTES]);
    if id == NEW {
        return Err(HandshakeError::Id);
    }
    Ok(id)
}

fn opening(nonce: &Nonce) -> Vec<u8> {
    [&MAGIC[..], &[VERSION], nonce].concat()
}

fn check_opening(input: &BytesMut) -> Result<(), HandshakeError> {
    let seen = input.len().min(4);
    if input[..seen] != MAGIC[..seen] {
        return Err(HandshakeError::Magic);
    }
    match input.get(4) {
        Some(&version) if version != VERSION => Err(HandshakeError::Version(version)),
        _ => Ok(()),
    }
}

fn take_nonce(input: &mut BytesMut) -> Nonce {
    input.advance(5);
    let mut nonce = [0; NONCE_BYTES];
    input.copy_to_slice(&mut nonce);
    nonce
}

#[cfg(test)]
mod tests;
