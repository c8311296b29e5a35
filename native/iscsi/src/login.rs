//! The login phase (RFC 7143 §6.3).
//!
//! Rules:
//! 1. Stages only go forward: security (0), operational (1), full feature (3); each may be skipped by the initiator.
//! 2. ISID, TSIH, CID and Initiator Task Tag stay the same over all requests of a login.
//! 3. The first complete text names the initiator and, for a normal session, the target; the target is looked up then.
//! 4. Where authentication is asked for, the security stage cannot be skipped, nor left before it is done.
//! 5. A login that is complete waits for the caller's word; no answer goes out before.
//! 6. A portal that redirects says so once it knows that the target exists and that the initiator may use it by its name; whoever
//!    redirects asks for no secrets.
//! 7. A refusal is one Login Response with a status, then the connection ends.

use std::sync::Arc;

use bytes::Bytes;

use crate::admission::Admission;
use crate::authentication::{Authentication, is_authentication_key};
use crate::chap::Challenge;
use crate::config::{PortalConfig, Redirect};
use crate::directory::{Directory, TargetInfo, TargetRefusal};
use crate::event::{LoginRefusal, RefusedLogin, SessionKind, SessionRequest};
use crate::negotiate::{Phase, negotiate};
use crate::parameters::Parameters;
use crate::pdu::{Header, LoginAnswer, Outgoing, Pdu, login_response};
use crate::text::{parse_pairs, put_pair};

/// The longest data segment during login, in both directions (RFC 7143 §13.12: the default).
pub(crate) const LOGIN_SEGMENT_BYTES: u32 = 8192;

const STAGE_SECURITY: u8 = 0;
const STAGE_OPERATIONAL: u8 = 1;
const STAGE_FULL_FEATURE: u8 = 3;
const MAX_NAME_BYTES: usize = 223;
/// A login that offers more keys than this is no negotiation.
const MAX_KEYS: usize = 256;

/// Login statuses (RFC 7143 §11.13.5), class in the high byte.
pub(crate) mod status {
    pub(crate) const SUCCESS: u16 = 0x0000;
    pub(crate) const MOVED_TEMPORARILY: u16 = 0x0101;
    pub(crate) const MOVED_PERMANENTLY: u16 = 0x0102;
    pub(crate) const INITIATOR_ERROR: u16 = 0x0200;
    pub(crate) const AUTHENTICATION_FAILURE: u16 = 0x0201;
    pub(crate) const FORBIDDEN: u16 = 0x0202;
    pub(crate) const NOT_FOUND: u16 = 0x0203;
    pub(crate) const REMOVED: u16 = 0x0204;
    pub(crate) const UNSUPPORTED_VERSION: u16 = 0x0205;
    pub(crate) const TOO_MANY_CONNECTIONS: u16 = 0x0206;
    pub(crate) const MISSING_PARAMETER: u16 = 0x0207;
    pub(crate) const SESSION_TYPE: u16 = 0x0209;
    pub(crate) const NO_SUCH_SESSION: u16 = 0x020a;
    pub(crate) const INVALID_DURING_LOGIN: u16 = 0x020b;
    pub(crate) const UNAVAILABLE: u16 = 0x0301;
    pub(crate) const OUT_OF_RESOURCES: u16 = 0x0302;
}

/// Who logs in, to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) kind: SessionKind,
    pub(crate) initiator: String,
    pub(crate) alias: Option<String>,
    pub(crate) target: Option<TargetInfo>,
}

/// What follows from one Login Request.
#[derive(Debug)]
pub(crate) enum LoginStep {
    /// Send this answer; the login goes on.
    Answer(Outgoing, Bytes),
    /// The login is complete: ask the caller.
    Complete(SessionRequest),
    /// Refuse with this status and end the connection.
    Refuse(u16),
    /// The same, with a text that says where to go.
    Redirect(u16, Bytes),
}

/// A login under way.
#[derive(Debug)]
pub(crate) struct Login {
    /// The header of the latest request; None before the first.
    request: Option<Header>,
    stage: u8,
    /// Text of an exchange whose C bit promises more.
    text: Vec<u8>,
    /// The names as they were given, for reports; each None until it is known and has a name's form.
    claimed: (Option<String>, Option<String>),
    identity: Option<Identity>,
    /// This side's challenge, until the exchange that uses it begins.
    challenge: Option<Challenge>,
    /// None until the target is known.
    authentication: Option<Authentication>,
    /// Keys negotiated so far in this login; each may be offered once.
    seen: Vec<String>,
    parameters: Parameters,
    declared: bool,
    /// The last answer, kept back until the caller has spoken.
    last_text: Bytes,
    complete: bool,
}

impl Login {
    pub(crate) fn new(challenge: Challenge) -> Self {
        Self {
            request: None,
            stage: STAGE_SECURITY,
            text: Vec::new(),
            claimed: (None, None),
            identity: None,
            challenge: Some(challenge),
            authentication: None,
            seen: Vec::new(),
            parameters: Parameters::default(),
            declared: false,
            last_text: Bytes::new(),
            complete: false,
        }
    }

    /// Whether the caller's word is awaited.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether a request was received.
    pub(crate) fn has_begun(&self) -> bool {
        self.request.is_some()
    }

    /// The CmdSN that the session begins with: that of the login (RFC 7143 §4.2.2.1).
    pub(crate) fn cmd_sn(&self) -> u32 {
        self.request.map_or(0, |request| request.cmd_sn())
    }

    /// Act on a Login Request.
    pub(crate) fn step(
        &mut self,
        pdu: &Pdu,
        directory: &dyn Directory,
        config: &PortalConfig,
    ) -> LoginStep {
        self.try_step(pdu, directory, config)
            .unwrap_or_else(LoginStep::Refuse)
    }

    fn try_step(
        &mut self,
        pdu: &Pdu,
        directory: &dyn Directory,
        config: &PortalConfig,
    ) -> Result<LoginStep, u16> {
        let next_stage = self.check_header(&pdu.header)?;
        if self.text.len() + pdu.data.len() > config.max_text_bytes {
            return Err(status::OUT_OF_RESOURCES);
        }
        self.text.extend_from_slice(&pdu.data);
        if pdu.header.continues() {
            return Ok(LoginStep::Answer(self.answer(None, 0), Bytes::new()));
        }
        let text = std::mem::take(&mut self.text);
        if let Some(redirect) = &config.redirect
            && self.identity.is_none()
            && let Some(step) = self.redirect(&text, directory, redirect)?
        {
            return Ok(step);
        }
        let (reply, proving) = self.negotiate_text(&text, directory, config)?;
        let next_stage = self.stage_after(next_stage, proving)?;
        if next_stage == Some(STAGE_FULL_FEATURE) {
            self.last_text = reply;
            self.complete = true;
            return Ok(LoginStep::Complete(self.session_request()?));
        }
        let answer = LoginStep::Answer(self.answer(next_stage, 0), reply);
        self.stage = next_stage.unwrap_or(self.stage);
        Ok(answer)
    }

    /// Send an initiator that wants to log in to a target elsewhere; None: it only wants discovery.
    fn redirect(
        &mut self,
        text: &[u8],
        directory: &dyn Directory,
        redirect: &Redirect,
    ) -> Result<Option<LoginStep>, u16> {
        let pairs = parse_pairs(text).map_err(|_| status::INITIATOR_ERROR)?;
        self.claim(&pairs);
        let (identity, _) = identify(&pairs, directory)?;
        if identity.kind == SessionKind::Discovery {
            return Ok(None);
        }
        let status = if redirect.permanent {
            status::MOVED_PERMANENTLY
        } else {
            status::MOVED_TEMPORARILY
        };
        let mut reply = Vec::new();
        // Without the portal group's tag (RFC 7143 §13.8).
        put_pair(&mut reply, "TargetAddress", &redirect.address);
        Ok(Some(LoginStep::Redirect(status, Bytes::from(reply))))
    }

    /// Note the names as they are given.
    fn claim(&mut self, pairs: &[(&str, &str)]) {
        self.claimed = ["InitiatorName", "TargetName"]
            .map(|key| claimed(pairs, key))
            .into();
    }

    /// The stage to go to: none while something is left to be proven.
    fn stage_after(&self, wanted: Option<u8>, proving: bool) -> Result<Option<u8>, u16> {
        let done = self
            .authentication
            .as_ref()
            .is_some_and(Authentication::is_done);
        match wanted {
            _ if done => Ok(wanted),
            // The initiator has skipped the security stage, or wants to leave it without proving anything.
            _ if self.stage != STAGE_SECURITY => Err(status::AUTHENTICATION_FAILURE),
            Some(_) if !proving => Err(status::AUTHENTICATION_FAILURE),
            _ => Ok(None),
        }
    }

    /// Check the header against the login so far and note it; returns the stage to go to.
    fn check_header(&mut self, header: &Header) -> Result<Option<u8>, u16> {
        let [_, flags, _, version_min, ..] = header.0;
        let (stage, next) = (flags >> 2 & 3, flags & 3);
        let earlier = self.request.replace(*header);
        if let Some(earlier) = earlier {
            let same = earlier.itt() == header.itt() && earlier.0[8..16] == header.0[8..16];
            if !same || earlier.cid() != header.cid() || stage != self.stage {
                return Err(status::INITIATOR_ERROR);
            }
        } else {
            if version_min > 0 {
                return Err(status::UNSUPPORTED_VERSION);
            }
            self.stage = stage;
        }
        if stage > STAGE_OPERATIONAL {
            return Err(status::INITIATOR_ERROR);
        }
        if !header.is_final() {
            return Ok(None);
        }
        let forward = next > stage && (next == STAGE_OPERATIONAL || next == STAGE_FULL_FEATURE);
        if header.continues() || !forward {
            return Err(status::INITIATOR_ERROR);
        }
        Ok(Some(next))
    }

    /// Act on a complete text; the answer's text, and whether there was anything for the authentication.
    fn negotiate_text(
        &mut self,
        text: &[u8],
        directory: &dyn Directory,
        config: &PortalConfig,
    ) -> Result<(Bytes, bool), u16> {
        let pairs = parse_pairs(text).map_err(|_| status::INITIATOR_ERROR)?;
        let mut reply = Vec::new();
        let kind = if let Some(identity) = &self.identity {
            identity.kind
        } else {
            self.claim(&pairs);
            let (identity, admission) = identify(&pairs, directory)?;
            self.authentication = self
                .challenge
                .take()
                .map(|challenge| Authentication::new(admission, challenge));
            if let Some(target) = &identity.target {
                put_pair(
                    &mut reply,
                    "TargetPortalGroupTag",
                    &target.group_tag.to_string(),
                );
                if let Some(alias) = &config.target_alias {
                    put_pair(&mut reply, "TargetAlias", alias);
                }
            }
            self.identity.insert(identity).kind
        };
        for (key, value) in &pairs {
            if self.seen.len() == MAX_KEYS || self.seen.iter().any(|seen| seen == key) {
                return Err(status::INITIATOR_ERROR);
            }
            self.seen.push((*key).to_owned());
            self.negotiate_pair(key, value, kind, config, &mut reply);
        }
        let proving = match &mut self.authentication {
            Some(authentication) if self.stage == STAGE_SECURITY => authentication
                .act(&pairs, &mut reply)
                .map_err(|_| status::AUTHENTICATION_FAILURE)?,
            _ => false,
        };
        if self.stage == STAGE_OPERATIONAL && !self.declared {
            self.declared = true;
            let own = config.segment_limit().to_string();
            put_pair(&mut reply, "MaxRecvDataSegmentLength", &own);
        }
        if reply.len() > LOGIN_SEGMENT_BYTES as usize {
            return Err(status::OUT_OF_RESOURCES);
        }
        Ok((Bytes::from(reply), proving))
    }

    fn negotiate_pair(
        &mut self,
        key: &str,
        value: &str,
        kind: SessionKind,
        config: &PortalConfig,
        reply: &mut Vec<u8>,
    ) {
        match key {
            "InitiatorName" | "InitiatorAlias" | "TargetName" | "SessionType" => {}
            _ if self.stage == STAGE_SECURITY && is_authentication_key(key) => {}
            _ => {
                let phase = if self.stage == STAGE_OPERATIONAL {
                    Phase::Login
                } else {
                    Phase::FullFeature
                };
                if let Some(answer) =
                    negotiate(key, value, phase, kind, config, &mut self.parameters)
                {
                    put_pair(reply, key, &answer);
                }
            }
        }
    }

    fn session_request(&self) -> Result<SessionRequest, u16> {
        let (Some(identity), Some(request)) = (&self.identity, &self.request) else {
            return Err(status::MISSING_PARAMETER);
        };
        Ok(SessionRequest {
            kind: identity.kind,
            initiator: identity.initiator.clone(),
            initiator_alias: identity.alias.clone(),
            user: self
                .authentication
                .as_ref()
                .and_then(Authentication::user)
                .map(ToOwned::to_owned),
            target: identity.target.as_ref().map(|target| target.name.clone()),
            group_tag: identity
                .target
                .as_ref()
                .map_or(0, |target| target.group_tag),
            isid: request.isid(),
            tsih: request.tsih(),
            cid: request.cid(),
        })
    }

    /// An answer to the latest request.
    fn answer(&self, transit_to: Option<u8>, status: u16) -> Outgoing {
        let request = self.request.unwrap_or(Header([0; 48]));
        let answer = LoginAnswer {
            transit_to,
            stage: self.stage,
            tsih: request.tsih(),
            status,
        };
        login_response(&request, answer)
    }

    /// The answer that refuses the login.
    pub(crate) fn refusal(&self, status: u16) -> Outgoing {
        self.answer(None, status)
    }

    /// What is told about the refusal.
    pub(crate) fn refused(&self, status: u16) -> RefusedLogin {
        let (initiator, target) = self.claimed.clone();
        RefusedLogin {
            status,
            initiator,
            target,
        }
    }

    /// The caller accepts: the last answer, its text, and what was agreed.
    pub(crate) fn accept(self, tsih: u16) -> (Outgoing, Bytes, Option<Identity>, u16, Parameters) {
        let request = self.request.unwrap_or(Header([0; 48]));
        let transit_to = Some(STAGE_FULL_FEATURE);
        let answer = LoginAnswer {
            transit_to,
            stage: self.stage,
            tsih,
            status: status::SUCCESS,
        };
        (
            login_response(&request, answer),
            self.last_text,
            self.identity,
            request.cid(),
            self.parameters,
        )
    }
}

fn find<'a>(pairs: &[(&'a str, &'a str)], wanted: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(key, _)| *key == wanted);
    found.map(|(_, value)| *value)
}

/// Whether a value may be an initiator's name: neither spaces nor control characters, so that it may be shown as it is.
fn is_name(value: &str) -> bool {
    let shown = |sign: char| !sign.is_control() && !sign.is_whitespace();
    (1..=MAX_NAME_BYTES).contains(&value.len()) && value.chars().all(shown)
}

fn claimed(pairs: &[(&str, &str)], key: &str) -> Option<String> {
    find(pairs, key)
        .filter(|value| is_name(value))
        .map(ToOwned::to_owned)
}

/// Find out from the first text who logs in to what, and who is let in there.
fn identify(
    pairs: &[(&str, &str)],
    directory: &dyn Directory,
) -> Result<(Identity, Arc<Admission>), u16> {
    let find = |wanted: &str| find(pairs, wanted);
    let initiator = find("InitiatorName").ok_or(status::MISSING_PARAMETER)?;
    if !is_name(initiator) {
        return Err(status::INITIATOR_ERROR);
    }
    let kind = match find("SessionType") {
        None | Some("Normal") => SessionKind::Normal,
        Some("Discovery") => SessionKind::Discovery,
        Some(_) => return Err(status::SESSION_TYPE),
    };
    let target = match (kind, find("TargetName")) {
        (SessionKind::Discovery, _) => None,
        (SessionKind::Normal, None) => return Err(status::MISSING_PARAMETER),
        (SessionKind::Normal, Some(name)) => {
            Some(directory.find(name, initiator).map_err(refusal_status)?)
        }
    };
    let admission = match &target {
        Some(target) => Arc::clone(&target.admission),
        None => directory.discovery(),
    };
    if !admission.names(initiator) {
        return Err(status::FORBIDDEN);
    }
    let alias = find("InitiatorAlias").map(ToOwned::to_owned);
    let identity = Identity {
        kind,
        initiator: initiator.to_owned(),
        alias,
        target,
    };
    Ok((identity, admission))
}

fn refusal_status(refusal: TargetRefusal) -> u16 {
    match refusal {
        TargetRefusal::NotFound => status::NOT_FOUND,
        TargetRefusal::Removed => status::REMOVED,
        TargetRefusal::Forbidden => status::FORBIDDEN,
        TargetRefusal::Unavailable => status::UNAVAILABLE,
    }
}

impl LoginRefusal {
    /// The login status that says it.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::TooManyConnections => status::TOO_MANY_CONNECTIONS,
            Self::NoSuchSession => status::NO_SUCH_SESSION,
            Self::Forbidden => status::FORBIDDEN,
            Self::NotFound => status::NOT_FOUND,
            Self::Unavailable => status::UNAVAILABLE,
            Self::OutOfResources => status::OUT_OF_RESOURCES,
        }
    }
}
