//! What two sides of a handshake make of each other, of altered hellos and of strangers.

use super::*;

type Outcome = Result<Option<Session>, HandshakeError>;

const ADDRESS: &str = "10.0.13.150";
const STANDING: SessionId = [0x5e; 16];
/// Where a hello says which session it joins.
const JOIN_AT: usize = 37;

fn dial(secret: &[u8], join: Option<SessionId>) -> (Handshake, Vec<u8>) {
    Handshake::dial(secret, [1; 32], ADDRESS, join)
}

/// Give a side bytes one at a time: what it answers and the session.
fn feed(side: &mut Handshake, bytes: &[u8]) -> Result<(Vec<u8>, Option<Session>), HandshakeError> {
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
}

/// Let two sides talk; what each makes of it. `change`: what happens to the hello on its way.
fn talk(
    (mut dialer, mut hello): (Handshake, Vec<u8>),
    listener_secret: &[u8],
    change: impl FnOnce(&mut [u8]),
) -> (Outcome, Outcome) {
    let mut listener = Handshake::listen(listener_secret, [2; 32]);
    change(&mut hello);
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

fn agreed(secret: &[u8], join: Option<SessionId>) -> Session {
    let (dialer, listener) = talk(dial(secret, join), secret, |_| {});
    assert_eq!(dialer, listener);
    dialer.expect("ok").expect("stands")
}

#[test]
fn peers_that_share_the_secret_get_the_same_session() {
    let session = agreed(b"secret", None);
    assert_eq!(session.dialer, ADDRESS);
    assert_ne!(session.id, [0; 16]);
    let key = session.key.expect("a new session has a key");
    assert_ne!(key[..16], session.id);
}

#[test]
fn another_secret_makes_another_session() {
    let (one, other) = (agreed(b"secret", None), agreed(b"other", None));
    assert_ne!(one.id, other.id);
    assert_ne!(one.key, other.key);
}

#[test]
fn a_further_connection_joins_the_session_that_it_names() {
    let session = agreed(b"secret", Some(STANDING));
    assert_eq!((session.id, session.key), (STANDING, None));
    assert_eq!(session.dialer, ADDRESS);
}

#[test]
fn whoever_knows_the_id_and_not_the_secret_joins_nothing() {
    let knows = |secret| dial(secret, Some(STANDING));
    let refused = Err(HandshakeError::Proof);
    assert_eq!(talk(knows(b"secret"), b"guess", |_| {}).0, refused);
    // The dialer that is no peer cannot check the reply; it goes on whatever that says.
    let mut listener = Handshake::listen(b"secret", [2; 32]);
    feed(&mut listener, &knows(b"guess").1).expect("a hello is not judged");
    let (guess, _) = knows(b"guess");
    let finish = guess.proof(&[1; 32], &[2; 32], b"dialer");
    assert_eq!(feed(&mut listener, &finish), Err(HandshakeError::Proof));
}

#[test]
fn what_a_hello_joins_cannot_be_altered_on_the_way() {
    let refused = Err(HandshakeError::Proof);
    let [begin, other, zeros] = [STANDING, [0x0e; 16], [0; 16]];
    for (join, on_the_way) in [
        (None, begin),
        (Some(STANDING), other),
        (Some(STANDING), zeros),
    ] {
        let change = |hello: &mut [u8]| hello[JOIN_AT..JOIN_AT + 16].copy_from_slice(&on_the_way);
        assert_eq!(talk(dial(b"secret", join), b"secret", change).0, refused);
        // Nor does the dialer's proof fit at a listener that believed it.
        let (dialer, mut hello) = dial(b"secret", join);
        change(&mut hello);
        let mut listener = Handshake::listen(b"secret", [2; 32]);
        feed(&mut listener, &hello).expect("a hello is not judged");
        let finish = dialer.proof(&[1; 32], &[2; 32], b"dialer");
        assert_eq!(
            feed(&mut listener, &finish).map(|(_, session)| session),
            refused
        );
    }
}

#[test]
fn a_join_of_one_session_is_no_proof_for_another_connection() {
    let (mut dialer, hello) = dial(b"secret", Some(STANDING));
    let mut first = Handshake::listen(b"secret", [2; 32]);
    let (reply, _) = feed(&mut first, &hello).expect("a hello is not judged");
    let (finish, _) = feed(&mut dialer, &reply).expect("the secret is the same");
    let mut second = Handshake::listen(b"secret", [3; 32]);
    feed(&mut second, &hello).expect("a hello is not judged");
    assert_eq!(feed(&mut second, &finish), Err(HandshakeError::Proof));
}

#[test]
fn zeros_name_no_session() {
    assert_eq!(id_from(&[0; 32]), Err(HandshakeError::Id));
    assert_eq!(id_from(&[7; 32]), Ok([7; 16]));
}

#[test]
fn a_listener_without_the_secret_is_found_out() {
    let (dialer, _) = talk(dial(b"secret", None), b"guess", |_| {});
    assert_eq!(dialer, Err(HandshakeError::Proof));
}

#[test]
fn a_dialer_without_the_secret_is_found_out() {
    let mut listener = Handshake::listen(b"secret", [2; 32]);
    let (_, hello) = dial(b"guess", None);
    listener
        .receive(&mut BytesMut::from(&hello[..]))
        .expect("a hello is not judged");
    let forged = listener.receive(&mut BytesMut::from(&[0; 32][..]));
    assert_eq!(forged, Err(HandshakeError::Proof));
}

#[test]
fn a_peer_of_another_version_is_refused_before_anything_is_proven() {
    for version in [1, 6] {
        let refusal = Err(HandshakeError::Version(version));
        let (mut dialer, mut hello) = dial(b"secret", None);
        hello[4] = version;
        let mut listener = Handshake::listen(b"secret", [2; 32]);
        assert_eq!(listener.receive(&mut BytesMut::from(&hello[..])), refusal);
        let reply = [&MAGIC[..], &[version], &[0; 64]].concat();
        assert_eq!(dialer.receive(&mut BytesMut::from(&reply[..])), refusal);
    }
}

#[test]
fn other_protocols_are_refused_at_the_first_byte() {
    let mut listener = Handshake::listen(b"secret", [2; 32]);
    assert_eq!(
        listener.receive(&mut BytesMut::from(&b"GET /"[..])),
        Err(HandshakeError::Magic)
    );
}
