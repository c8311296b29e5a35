//! The security stage of a login (RFC 7143 §12.1): AuthMethod, then CHAP, also mutual.
//!
//! Rules:
//! 1. Where users are named, nobody gets past the security stage without proving to be one of them; where none is,
//!    AuthMethod is None and nothing is proven.
//! 2. The exchange only goes forward: Begun, Chosen, Challenged, Proven. Whatever does not fit its step ends the login.
//! 3. This side answers a challenge only after its own was answered rightly, and never its own challenge.
//! 4. An answer is compared in constant time, and an unknown user's is computed like a known one's.

use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::admission::Admission;
use crate::chap::{Algorithm, Challenge, decode, encode, secret_bytes};
use crate::text::{parse_number, put_pair};

/// Whether a key belongs to the exchange.
pub(crate) fn is_authentication_key(key: &str) -> bool {
    key == "AuthMethod" || is_chap_key(key)
}

fn is_chap_key(key: &str) -> bool {
    ["CHAP_A", "CHAP_N", "CHAP_R", "CHAP_I", "CHAP_C"].contains(&key)
}

/// The login is to be refused: status 0201h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Begun,
    Chosen,
    Challenged(Algorithm),
    Proven,
}

/// The exchange of one login.
#[derive(Debug)]
pub(crate) struct Authentication {
    admission: Arc<Admission>,
    challenge: Challenge,
    step: Step,
    user: Option<String>,
}

impl Authentication {
    /// An exchange that has not begun.
    pub(crate) fn new(admission: Arc<Admission>, challenge: Challenge) -> Self {
        Self {
            admission,
            challenge,
            step: Step::Begun,
            user: None,
        }
    }

    /// Whether nothing is left to be proven.
    pub(crate) fn is_done(&self) -> bool {
        self.step == Step::Proven || !self.is_required()
    }

    /// Who the initiator proved to be.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    fn is_required(&self) -> bool {
        !self.admission.users.is_empty()
    }

    /// Act on a text of the security stage and append the answers; whether it had anything for this exchange.
    ///
    /// # Errors
    /// The initiator failed to prove who it is, or will never.
    pub(crate) fn act(
        &mut self,
        pairs: &[(&str, &str)],
        reply: &mut Vec<u8>,
    ) -> Result<bool, Failed> {
        let find = |wanted: &str| {
            let found = pairs.iter().find(|(key, _)| *key == wanted);
            found.map(|(_, value)| *value)
        };
        let method = find("AuthMethod");
        if let Some(offered) = method {
            self.choose_method(offered, reply)?;
        }
        let proof = Proof {
            name: find("CHAP_N"),
            response: find("CHAP_R"),
            id: find("CHAP_I"),
            challenge: find("CHAP_C"),
        };
        match (find("CHAP_A"), proof.is_empty()) {
            (None, true) => return Ok(method.is_some()),
            (Some(offered), true) => self.send_challenge(offered, reply)?,
            (None, false) => self.check_proof(&proof, reply)?,
            (Some(_), false) => return Err(Failed),
        }
        Ok(true)
    }

    fn choose_method(&mut self, offered: &str, reply: &mut Vec<u8>) -> Result<(), Failed> {
        let method = if self.is_required() { "CHAP" } else { "None" };
        if self.step != Step::Begun || !offered.split(',').any(|one| one == method) {
            return Err(Failed);
        }
        self.step = Step::Chosen;
        put_pair(reply, "AuthMethod", method);
        Ok(())
    }

    fn send_challenge(&mut self, offered: &str, reply: &mut Vec<u8>) -> Result<(), Failed> {
        if self.step != Step::Chosen || !self.is_required() {
            return Err(Failed);
        }
        let algorithm = Algorithm::choose(offered).ok_or(Failed)?;
        self.step = Step::Challenged(algorithm);
        put_pair(reply, "CHAP_A", algorithm.number());
        put_pair(reply, "CHAP_I", &self.challenge.id.to_string());
        put_pair(reply, "CHAP_C", &encode(&self.challenge.bytes));
        Ok(())
    }

    fn check_proof(&mut self, proof: &Proof<'_>, reply: &mut Vec<u8>) -> Result<(), Failed> {
        let Step::Challenged(algorithm) = self.step else {
            return Err(Failed);
        };
        let (Some(name), Some(response)) = (proof.name, proof.response) else {
            return Err(Failed);
        };
        let user = self.admission.user(name);
        let secret = secret_bytes(user.map(|user| &user.secret));
        let right = algorithm.respond(self.challenge.id, secret, &self.challenge.bytes);
        let given = decode(response).ok_or(Failed)?;
        let equal = bool::from(right.ct_eq(&given));
        if !equal || user.is_none() {
            return Err(Failed);
        }
        self.user = Some(name.to_owned());
        self.step = Step::Proven;
        self.prove_own(algorithm, proof, reply)
    }

    /// Answer the initiator's challenge, if it sent one.
    fn prove_own(
        &self,
        algorithm: Algorithm,
        proof: &Proof<'_>,
        reply: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        let (id, challenge) = match (proof.id, proof.challenge) {
            (None, None) => return Ok(()),
            (Some(id), Some(challenge)) => (id, challenge),
            _ => return Err(Failed),
        };
        let own = self.admission.own.as_ref().ok_or(Failed)?;
        let id = parse_number(id)
            .and_then(|id| u8::try_from(id).ok())
            .ok_or(Failed)?;
        let challenge = decode(challenge).ok_or(Failed)?;
        if challenge == self.challenge.bytes {
            return Err(Failed);
        }
        let response = algorithm.respond(id, own.secret.bytes(), &challenge);
        put_pair(reply, "CHAP_N", &own.name);
        put_pair(reply, "CHAP_R", &encode(&response));
        Ok(())
    }
}

/// The keys of the initiator's last text.
struct Proof<'a> {
    name: Option<&'a str>,
    response: Option<&'a str>,
    id: Option<&'a str>,
    challenge: Option<&'a str>,
}

impl Proof<'_> {
    fn is_empty(&self) -> bool {
        [self.name, self.response, self.id, self.challenge]
            .iter()
            .all(Option::is_none)
    }
}
