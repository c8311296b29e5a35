//! How two nodes prove to each other that they share the secret, before the first frame (docs/protocols/mirror.md).
//!
//! ```text
//! dialer   -> listener   hello:  magic, version, nonce A, dialer's mirror address
//! listener -> dialer     reply:  magic, version, nonce B, proof over (A, B, "listener", address)
//! dialer   -> listener   finish: proof over (A, B, "dialer", address)
//! ```
//! A listener of another version answers with magic and its version alone, and closes.
//! Both then hold the session key HMAC(secret, A, B, "session") with which heartbeats are tagged. A peer without the
//! secret learns nothing of it and gets no further than this.

use bytes::{Buf, BytesMut};
use hmac::{Hmac, Mac};
use sha2::Sha256;

const MAGIC: [u8; 4] = *b"TDL1";
/// Version of the mirror link's protocol. 2: fills, updates and the shared record came in.
pub const VERSION: u8 = 6;
const NONCE_BYTES: usize = 32;
const PROOF_BYTES: usize = 32;
/// Longest mirror address in a hello.
const ADDRESS_MAX_BYTES: usize = 64;

/// Random bytes that the caller draws for each session.
pub type Nonce = [u8; NONCE_BYTES];

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
}

/// The outcome of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Key of this session's heartbeats.
    pub key: [u8; 32],
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
    stage: Stage,
}

impl Handshake {
    /// The dialer's side; its hello is to be sent first.
    #[must_use]
    pub fn dial(secret: &[u8], nonce: Nonce, own_address: &str) -> (Self, Vec<u8>) {
        let mut hello = opening(&nonce);
        hello.push(u8::try_from(own_address.len()).unwrap_or(u8::MAX));
        hello.extend(own_address.as_bytes());
        (
            Self {
                secret: secret.to_vec(),
                nonce,
                address: own_address.to_owned(),
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
                Ok((Vec::new(), Some(self.session(&dialer_nonce, &self.nonce))))
            }
        }
    }

    fn receive_hello(&mut self, input: &mut BytesMut) -> Result<Vec<u8>, HandshakeError> {
        let fixed = 5 + NONCE_BYTES + 1;
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
        input.advance(1);
        let address = input.split_to(address_bytes);
        if !address.is_ascii() || address.iter().any(u8::is_ascii_control) {
            return Err(HandshakeError::Address);
        }
        self.address = String::from_utf8_lossy(&address).into_owned();
        let mut reply = opening(&self.nonce);
        reply.extend(
            self.mac(&dialer_nonce, &self.nonce, b"listener")
                .finalize()
                .into_bytes(),
        );
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
        let finish = self
            .mac(&self.nonce, &listener_nonce, b"dialer")
            .finalize()
            .into_bytes()
            .to_vec();
        Ok((finish, Some(self.session(&self.nonce, &listener_nonce))))
    }

    fn session(&self, dialer_nonce: &Nonce, listener_nonce: &Nonce) -> Session {
        let key = self
            .mac(dialer_nonce, listener_nonce, b"session")
            .finalize()
            .into_bytes()
            .into();
        Session {
            key,
            dialer: self.address.clone(),
        }
    }

    fn verify(&self, a: &Nonce, b: &Nonce, who: &[u8], proof: &[u8]) -> Result<(), HandshakeError> {
        self.mac(a, b, who)
            .verify_slice(proof)
            .map_err(|_| HandshakeError::Proof)
    }

    fn mac(&self, dialer_nonce: &Nonce, listener_nonce: &Nonce, who: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.secret)
            .expect("HMAC takes keys of any length");
        mac.update(dialer_nonce);
        mac.update(listener_nonce);
        mac.update(who);
        mac.update(&[0]);
        mac.update(self.address.as_bytes());
        mac
    }
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
mod tests {
    use super::*;

    type Outcome = Result<Option<Session>, HandshakeError>;

    /// Let two sides talk, byte by byte; what each makes of it.
    fn talk(dialer_secret: &[u8], listener_secret: &[u8]) -> (Outcome, Outcome) {
        let (mut dialer, hello) = Handshake::dial(dialer_secret, [1; 32], "10.0.13.150");
        let mut listener = Handshake::listen(listener_secret, [2; 32]);
        let feed = |side: &mut Handshake, bytes: &[u8]| {
            let mut input = BytesMut::new();
            let mut out = Vec::new();
            let mut session = None;
            for byte in bytes {
                input.extend_from_slice(&[*byte]);
                let (more, done) = side.receive(&mut input)?;
                out.extend(more);
                session = session.or(done);
            }
            Ok((out, session))
        };
        let (reply, none) = feed(&mut listener, &hello).expect("a hello is not judged");
        assert_eq!(none, None);
        match feed(&mut dialer, &reply) {
            Err(error) => (Err(error), Ok(None)),
            Ok((finish, session)) => (
                Ok(session),
                feed(&mut listener, &finish).map(|(_, session)| session),
            ),
        }
    }

    #[test]
    fn peers_that_share_the_secret_get_the_same_session() {
        let (dialer, listener) = talk(b"secret", b"secret");
        assert_eq!(dialer, listener);
        assert_eq!(dialer.expect("ok").expect("stands").dialer, "10.0.13.150");
    }

    #[test]
    fn a_listener_without_the_secret_is_found_out() {
        assert_eq!(talk(b"secret", b"guess").0, Err(HandshakeError::Proof));
    }

    #[test]
    fn a_dialer_without_the_secret_is_found_out() {
        let mut listener = Handshake::listen(b"secret", [2; 32]);
        let (_, hello) = Handshake::dial(b"guess", [1; 32], "10.0.13.150");
        listener
            .receive(&mut BytesMut::from(&hello[..]))
            .expect("a hello is not judged");
        let forged = listener.receive(&mut BytesMut::from(&[0; 32][..]));
        assert_eq!(forged, Err(HandshakeError::Proof));
    }

    #[test]
    fn a_peer_of_another_version_is_refused_before_anything_is_proven() {
        let refusal = Err(HandshakeError::Version(1));
        let (_, mut hello) = Handshake::dial(b"secret", [1; 32], "10.0.13.150");
        hello[4] = 1;
        let mut listener = Handshake::listen(b"secret", [2; 32]);
        assert_eq!(listener.receive(&mut BytesMut::from(&hello[..])), refusal);
        let (mut dialer, _) = Handshake::dial(b"secret", [1; 32], "10.0.13.150");
        let reply = [&MAGIC[..], &[1], &[0; 64]].concat();
        assert_eq!(dialer.receive(&mut BytesMut::from(&reply[..])), refusal);
    }

    #[test]
    fn other_protocols_are_refused_at_the_first_byte() {
        let mut listener = Handshake::listen(b"secret", [2; 32]);
        assert_eq!(
            listener.receive(&mut BytesMut::from(&b"GET /"[..])),
            Err(HandshakeError::Magic)
        );
    }
}
