//! Python's arguments as the runtime's types; what makes no sense is `EngineInvalidError`.

use std::net::{IpAddr, SocketAddr};

use pyo3::FromPyObject;
use twindisk_runtime::mirror::{NotReady, Role, Serial, Sync};
use twindisk_runtime::{
    AccessMode, Admission, BlockSize, Credential, EngineError, Secret, invalid,
};

type Parsed<T> = Result<T, EngineError>;

/// A host that is an IP address, and a port.
pub fn address(host: &str, port: u16) -> Parsed<SocketAddr> {
    Ok(SocketAddr::new(ip(host)?, port))
}

/// An IP address.
pub fn ip(host: &str) -> Parsed<IpAddr> {
    host.parse()
        .map_err(|_| invalid("the host is not an IP address"))
}

/// 32 hex digits.
pub fn serial(digits: &str) -> Parsed<Serial> {
    let wrong = || invalid("the serial is not 32 hex digits");
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(Serial(bytes))
}

/// Bytes of a logical block: 512 or 4096.
pub fn block(bytes: u64) -> Parsed<BlockSize> {
    BlockSize::of(bytes).ok_or_else(|| invalid("the block size is neither 512 nor 4096"))
}

/// `master` or `slave`.
pub fn role(word: &str) -> Parsed<Role> {
    match word {
        "master" => Ok(Role::Master),
        "slave" => Ok(Role::Slave),
        _ => Err(invalid("the role is neither master nor slave")),
    }
}

/// `none`, `source`, `target`, `full-source` or `full-target`.
pub fn sync(word: &str) -> Parsed<Sync> {
    match word {
        "none" => Ok(Sync::None),
        "source" => Ok(Sync::Source),
        "target" => Ok(Sync::Target),
        "full-source" => Ok(Sync::FullSource),
        "full-target" => Ok(Sync::FullTarget),
        _ => Err(invalid("unknown sync")),
    }
}

/// `active-active` or `active-passive`.
pub fn access(word: &str) -> Parsed<AccessMode> {
    [AccessMode::ActiveActive, AccessMode::ActivePassive]
        .into_iter()
        .find(|mode| mode.word() == word)
        .ok_or_else(|| invalid("unknown access mode"))
}

/// `Admission` of the stub.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct AdmissionDict {
    initiators: Vec<String>,
    users: Vec<(String, String)>,
    own: Option<(String, String)>,
}

/// Who is let in; None: everyone.
pub fn admission(rules: Option<AdmissionDict>) -> Parsed<Admission> {
    let Some(rules) = rules else {
        return Ok(Admission::default());
    };
    let credential = |(name, secret): (String, String)| {
        Secret::new(secret.as_bytes())
            .map(|secret| Credential { name, secret })
            .map_err(|fault| invalid(&fault.to_string()))
    };
    Ok(Admission {
        initiators: rules.initiators,
        users: rules
            .users
            .into_iter()
            .map(credential)
            .collect::<Parsed<_>>()?,
        own: rules.own.map(credential).transpose()?,
    })
}

/// `transitioning`, `standby` or `unavailable`.
pub fn state(word: &str) -> Parsed<NotReady> {
    match word {
        "transitioning" => Ok(NotReady::Transitioning),
        "standby" => Ok(NotReady::Standby),
        "unavailable" => Ok(NotReady::Unavailable),
        _ => Err(invalid("unknown state")),
    }
}
