//! Who is let in, and by which names and secrets both sides prove who they are.
//!
//! Rules:
//! 1. A secret is never shown: its `Debug` says only that there is one.
//! 2. A secret has 12 to 255 bytes (RFC 7143 §9.2.1: at least 96 bits), and this side never proves itself by a secret
//!    that an initiator proves itself by.
//! 3. No initiator named: everyone. No user named: no authentication.

use std::fmt;

use thiserror::Error;

const SECRET_MIN_BYTES: usize = 12;
const SECRET_MAX_BYTES: usize = 255;
const NAME_MAX_BYTES: usize = 255;

/// A CHAP secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// A secret of 12 to 255 bytes.
    ///
    /// # Errors
    /// It is shorter or longer.
    pub fn new(bytes: &[u8]) -> Result<Self, AdmissionFault> {
        match bytes.len() {
            ..SECRET_MIN_BYTES => Err(AdmissionFault::SecretTooShort),
            SECRET_MIN_BYTES..=SECRET_MAX_BYTES => Ok(Self(bytes.into())),
            _ => Err(AdmissionFault::SecretTooLong),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// A CHAP name and its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The name (`CHAP_N`), 1 to 255 bytes; compared byte by byte.
    pub name: String,
    /// The secret.
    pub secret: Secret,
}

/// Who is let in to one target, or to discovery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    /// iSCSI names that are let in, compared whole and without regard to case (RFC 3722); empty: every name.
    pub initiators: Vec<String>,
    /// The users one of whom an initiator has to prove to be by CHAP; empty: no authentication.
    pub users: Vec<Credential>,
    /// By what this side proves itself to an initiator that asks (mutual CHAP); None: an initiator that asks is refused.
    pub own: Option<Credential>,
}

/// What is wrong with an admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AdmissionFault {
    /// A secret of less than 12 bytes.
    #[error("a CHAP secret has less than 12 bytes")]
    SecretTooShort,
    /// A secret of more than 255 bytes.
    #[error("a CHAP secret has more than 255 bytes")]
    SecretTooLong,
    /// A name that is empty, has control characters or has more than 255 bytes.
    #[error("a CHAP name is empty, too long or has control characters")]
    Name,
    /// Two users with one name.
    #[error("a CHAP user is named twice")]
    Repeated,
    /// This side would prove itself by a user's secret: who can answer could be made to answer for the user.
    #[error("the target's own CHAP secret is also a user's")]
    SharedSecret,
    /// A credential of its own, and nobody who has to prove anything.
    #[error("the target has a CHAP secret of its own, but no user")]
    OwnWithoutUsers,
}

impl Admission {
    /// Check that the rules make sense.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self) -> Result<(), AdmissionFault> {
        for (at, user) in self.users.iter().enumerate() {
            check_name(&user.name)?;
            if self.users[..at]
                .iter()
                .any(|earlier| earlier.name == user.name)
            {
                return Err(AdmissionFault::Repeated);
            }
        }
        let Some(own) = &self.own else {
            return Ok(());
        };
        check_name(&own.name)?;
        if self.users.is_empty() {
            return Err(AdmissionFault::OwnWithoutUsers);
        }
        if self.users.iter().any(|user| user.secret == own.secret) {
            return Err(AdmissionFault::SharedSecret);
        }
        Ok(())
    }

    /// Whether an initiator of this name may come in, if it proves what else is asked.
    #[must_use]
    pub fn names(&self, initiator: &str) -> bool {
        self.initiators.is_empty()
            || self
                .initiators
                .iter()
                .any(|name| name.eq_ignore_ascii_case(initiator))
    }

    /// The user of this name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&Credential> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Whether a session of `initiator`, which proved itself as `user` while `before` was in force, would be let in under
    /// these rules without proving anything anew.
    #[must_use]
    pub fn keeps(&self, initiator: &str, user: Option<&str>, before: &Self) -> bool {
        let proven = match user {
            None => self.users.is_empty(),
            Some(_) if self.users.is_empty() => true,
            Some(name) => self.user(name).is_some() && self.user(name) == before.user(name),
        };
        proven && self.names(initiator)
    }
}

fn check_name(name: &str) -> Result<(), AdmissionFault> {
    let fits =
        (1..=NAME_MAX_BYTES).contains(&name.len()) && !name.chars().any(|sign| sign.is_control());
    if fits {
        Ok(())
    } else {
        Err(AdmissionFault::Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(name: &str, secret: &str) -> Credential {
        Credential {
            name: name.to_owned(),
            secret: Secret::new(secret.as_bytes()).unwrap(),
        }
    }

    #[test]
    fn secrets_have_12_to_255_bytes_and_are_not_shown() {
        assert_eq!(
            Secret::new(b"elevenbytes"),
            Err(AdmissionFault::SecretTooShort)
        );
        assert_eq!(Secret::new(&[1; 256]), Err(AdmissionFault::SecretTooLong));
        let shown = format!("{:?}", credential("alice", "open sesame!"));
        assert!(
            shown.contains("alice") && !shown.contains("sesame"),
            "{shown}"
        );
        assert!(!shown.contains("111"), "{shown}");
    }

    #[test]
    fn rules_that_make_no_sense_are_told_apart() {
        let (alice, bob) = (
            credential("alice", "alice's secret"),
            credential("bob", "bob's own secret"),
        );
        let rules = |users: &[&Credential], own: Option<&Credential>| Admission {
            users: users.iter().map(|user| (*user).clone()).collect(),
            own: own.cloned(),
            ..Admission::default()
        };
        assert_eq!(rules(&[], None).check(), Ok(()));
        assert_eq!(rules(&[&alice], Some(&bob)).check(), Ok(()));
        let shared = credential("target", "alice's secret");
        for (wrong, fault) in [
            (rules(&[&alice, &alice], None), AdmissionFault::Repeated),
            (
                rules(&[&alice], Some(&shared)),
                AdmissionFault::SharedSecret,
            ),
            (rules(&[], Some(&bob)), AdmissionFault::OwnWithoutUsers),
            (
                rules(&[&credential("", "twelve bytes")], None),
                AdmissionFault::Name,
            ),
            (
                rules(&[&credential("a\nb", "twelve bytes")], None),
                AdmissionFault::Name,
            ),
        ] {
            assert_eq!(wrong.check(), Err(fault));
        }
    }

    #[test]
    fn names_match_whole_and_without_regard_to_case() {
        let rules = Admission {
            initiators: vec!["iqn.1994-05.com.redhat:vm12".to_owned()],
            ..Admission::default()
        };
        assert!(rules.names("iqn.1994-05.com.redhat:vm12"));
        assert!(rules.names("IQN.1994-05.com.redhat:VM12"));
        assert!(!rules.names("iqn.1994-05.com.redhat:vm1"));
        assert!(!rules.names("iqn.1994-05.com.redhat:vm123"));
        assert!(Admission::default().names("iqn.anyone"));
    }

    #[test]
    fn a_session_stays_only_if_it_would_be_let_in_as_it_is() {
        let before = Admission {
            users: vec![credential("alice", "alice's secret")],
            ..Admission::default()
        };
        let name = "iqn.1994-05.com.redhat:vm12";
        assert!(before.keeps(name, Some("alice"), &before));
        let rotated = Admission {
            users: vec![credential("alice", "another secret")],
            ..Admission::default()
        };
        assert!(!rotated.keeps(name, Some("alice"), &before));
        assert!(Admission::default().keeps(name, Some("alice"), &before));
        assert!(!before.keeps(name, None, &Admission::default()));
        let others = Admission {
            initiators: vec!["iqn.1994-05.com.redhat:vm13".to_owned()],
            ..Admission::default()
        };
        assert!(!others.keeps(name, None, &Admission::default()));
    }
}
