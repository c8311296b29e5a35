//! Watches over a connection's time: the login's limit, then the initiator's silence.
//!
//! Rules: whatever is received counts as a sign of life; after `ping_idle_ns` of silence one NOP-In asks; after
//! `ping_timeout_ns` more of silence the connection is given up.

use crate::config::PortalConfig;
use crate::error::ProtocolError;

/// Times of one connection; all in nanoseconds of the caller's monotonic clock.
#[derive(Debug)]
pub(crate) struct Keepalive {
    opened_ns: u64,
    heard: bool,
    last_heard_ns: u64,
    asked_ns: Option<u64>,
}

/// What the passing of time asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// Send a NOP-In.
    Ping,
}

impl Keepalive {
    /// A connection that was opened now.
    pub(crate) fn new(now_ns: u64) -> Self {
        Self {
            opened_ns: now_ns,
            heard: false,
            last_heard_ns: now_ns,
            asked_ns: None,
        }
    }

    /// Something was received since the last tick.
    pub(crate) fn hear(&mut self) {
        self.heard = true;
    }

    /// Let time pass.
    ///
    /// # Errors
    /// The time is over.
    pub(crate) fn tick(
        &mut self,
        now_ns: u64,
        logged_in: bool,
        config: &PortalConfig,
    ) -> Result<Due, ProtocolError> {
        if std::mem::take(&mut self.heard) {
            self.last_heard_ns = now_ns;
            self.asked_ns = None;
        }
        if !logged_in {
            let over = now_ns.saturating_sub(self.opened_ns) >= config.login_timeout_ns;
            return if over {
                Err(ProtocolError::LoginTimeout)
            } else {
                Ok(Due::Nothing)
            };
        }
        if let Some(asked_ns) = self.asked_ns {
            let over = now_ns.saturating_sub(asked_ns) >= config.ping_timeout_ns;
            return if over {
                Err(ProtocolError::PingTimeout)
            } else {
                Ok(Due::Nothing)
            };
        }
        if config.ping_idle_ns > 0
            && now_ns.saturating_sub(self.last_heard_ns) >= config.ping_idle_ns
        {
            self.asked_ns = Some(now_ns);
            return Ok(Due::Ping);
        }
        Ok(Due::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PortalConfig {
        PortalConfig {
            login_timeout_ns: 15,
            ping_idle_ns: 10,
            ping_timeout_ns: 5,
            ..PortalConfig::default()
        }
    }

    #[test]
    fn a_login_has_its_time() {
        let mut keepalive = Keepalive::new(100);
        keepalive.hear();
        assert_eq!(keepalive.tick(114, false, &config()), Ok(Due::Nothing));
        keepalive.hear();
        assert_eq!(
            keepalive.tick(115, false, &config()),
            Err(ProtocolError::LoginTimeout)
        );
    }

    #[test]
    fn silence_is_asked_about_once_and_then_ends_the_connection() {
        let mut keepalive = Keepalive::new(0);
        assert_eq!(keepalive.tick(9, true, &config()), Ok(Due::Nothing));
        assert_eq!(keepalive.tick(10, true, &config()), Ok(Due::Ping));
        assert_eq!(keepalive.tick(14, true, &config()), Ok(Due::Nothing));
        keepalive.hear();
        assert_eq!(keepalive.tick(15, true, &config()), Ok(Due::Nothing));
        assert_eq!(keepalive.tick(25, true, &config()), Ok(Due::Ping));
        assert_eq!(
            keepalive.tick(30, true, &config()),
            Err(ProtocolError::PingTimeout)
        );
    }

    #[test]
    fn no_idle_time_means_no_ping() {
        let mut keepalive = Keepalive::new(0);
        let config = PortalConfig {
            ping_idle_ns: 0,
            ..config()
        };
        assert_eq!(keepalive.tick(u64::MAX, true, &config), Ok(Due::Nothing));
    }
}
