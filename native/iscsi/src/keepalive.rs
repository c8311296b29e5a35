//! Watches over a connection's time: the login's limit, then the initiator's silence.
//!
//! Rules:
//!
//! * Whatever is received counts as a sign of life; after `ping_idle_ns` of silence one NOP-In asks; after `ping_timeout_ns` more of
//!   silence the connection is given up.
//! * The time for an answer begins anew as long as the initiator's TCP takes what was sent before: over a slow link the question may
//!   arrive late.
//! * Where the caller has left bytes unread, the answer may be among them. Then only what is not taken either speaks of death;
//!   otherwise it is asked again.

use crate::config::PortalConfig;
use crate::error::ProtocolError;

/// Times of one connection; all in nanoseconds of the caller's monotonic clock.
#[derive(Debug)]
pub(crate) struct Keepalive {
    opened_ns: u64,
    heard: bool,
    last_heard_ns: u64,
    asked: Option<Asked>,
}

/// A NOP-In that is unanswered.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// When it was sent, or something before it was taken.
    at_ns: u64,
    undelivered_bytes: usize,
}

/// What the caller knows of the way to the initiator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    /// Something may have been received that the caller has not read.
    pub unread: bool,
    /// What was sent, or waits to be, and has not been acknowledged by the initiator's TCP, in bytes; looked at only while
    /// [`Connection::awaits_sign_of_life`](crate::Connection::awaits_sign_of_life).
    pub undelivered_bytes: usize,
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
            asked: None,
        }
    }

    /// Something was received since the last tick.
    pub(crate) fn hear(&mut self) {
        self.heard = true;
    }

    /// A NOP-In is unanswered.
    pub(crate) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Let time pass.
    ///
    /// # Errors
    /// The time is over.
    pub(crate) fn tick(
        &mut self,
        now_ns: u64,
        logged_in: bool,
        line: Line,
        config: &PortalConfig,
    ) -> Result<Due, ProtocolError> {
        if std::mem::take(&mut self.heard) {
            self.last_heard_ns = now_ns;
            self.asked = None;
        }
        if !logged_in {
            let over = now_ns.saturating_sub(self.opened_ns) >= config.login_timeout_ns;
            return if over {
                Err(ProtocolError::LoginTimeout)
            } else {
                Ok(Due::Nothing)
            };
        }
        if let Some(asked) = &mut self.asked {
            return asked.tick(now_ns, line, config.ping_timeout_ns);
        }
        if config.ping_idle_ns > 0
            && now_ns.saturating_sub(self.last_heard_ns) >= config.ping_idle_ns
        {
            self.asked = Some(Asked {
                at_ns: now_ns,
                undelivered_bytes: 0,
            });
            return Ok(Due::Ping);
        }
        Ok(Due::Nothing)
    }
}

impl Asked {
    fn tick(&mut self, now_ns: u64, line: Line, timeout_ns: u64) -> Result<Due, ProtocolError> {
        let before_bytes = std::mem::replace(&mut self.undelivered_bytes, line.undelivered_bytes);
        if line.undelivered_bytes < before_bytes {
            self.at_ns = now_ns;
        }
        if now_ns.saturating_sub(self.at_ns) < timeout_ns {
            return Ok(Due::Nothing);
        }
        if line.unread && line.undelivered_bytes == 0 {
            self.at_ns = now_ns;
            return Ok(Due::Ping);
        }
        Err(ProtocolError::PingTimeout)
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
        assert_eq!(
            keepalive.tick(114, false, Line::default(), &config()),
            Ok(Due::Nothing)
        );
        keepalive.hear();
        assert_eq!(
            keepalive.tick(115, false, Line::default(), &config()),
            Err(ProtocolError::LoginTimeout)
        );
    }

    #[test]
    fn silence_is_asked_about_once_and_then_ends_the_connection() {
        let mut keepalive = Keepalive::new(0);
        assert_eq!(
            keepalive.tick(9, true, Line::default(), &config()),
            Ok(Due::Nothing)
        );
        assert_eq!(
            keepalive.tick(10, true, Line::default(), &config()),
            Ok(Due::Ping)
        );
        assert_eq!(
            keepalive.tick(14, true, Line::default(), &config()),
            Ok(Due::Nothing)
        );
        keepalive.hear();
        assert_eq!(
            keepalive.tick(15, true, Line::default(), &config()),
            Ok(Due::Nothing)
        );
        assert_eq!(
            keepalive.tick(25, true, Line::default(), &config()),
            Ok(Due::Ping)
        );
        assert_eq!(
            keepalive.tick(30, true, Line::default(), &config()),
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
        assert_eq!(
            keepalive.tick(u64::MAX, true, Line::default(), &config),
            Ok(Due::Nothing)
        );
    }
    /// A connection that was asked at 10 and has 5 to answer.
    fn asked() -> Keepalive {
        let mut keepalive = Keepalive::new(0);
        assert_eq!(
            keepalive.tick(10, true, Line::default(), &config()),
            Ok(Due::Ping)
        );
        keepalive
    }

    fn undelivered(undelivered_bytes: usize) -> Line {
        Line {
            unread: false,
            undelivered_bytes,
        }
    }

    #[test]
    fn what_is_taken_slowly_gives_time_and_what_is_not_taken_gives_none() {
        let mut keepalive = asked();
        for (now_ns, bytes) in [(11, 900), (14, 600), (18, 300), (22, 40), (26, 40)] {
            let due = keepalive.tick(now_ns, true, undelivered(bytes), &config());
            assert_eq!(due, Ok(Due::Nothing), "{now_ns}");
        }
        assert_eq!(
            keepalive.tick(27, true, undelivered(40), &config()),
            Err(ProtocolError::PingTimeout)
        );
    }

    #[test]
    fn who_takes_the_question_and_stays_silent_is_given_up() {
        let mut keepalive = asked();
        for (now_ns, bytes) in [(11, 48), (12, 0), (16, 0)] {
            let due = keepalive.tick(now_ns, true, undelivered(bytes), &config());
            assert_eq!(due, Ok(Due::Nothing), "{now_ns}");
        }
        assert_eq!(
            keepalive.tick(17, true, undelivered(0), &config()),
            Err(ProtocolError::PingTimeout)
        );
    }

    #[test]
    fn whose_bytes_lie_unread_is_asked_again_and_given_up_only_if_it_takes_nothing() {
        let unread = |undelivered_bytes| Line {
            unread: true,
            undelivered_bytes,
        };
        let mut keepalive = asked();
        for round in 1..=3 {
            let now_ns = 10 + 5 * round;
            assert_eq!(
                keepalive.tick(now_ns - 1, true, unread(0), &config()),
                Ok(Due::Nothing)
            );
            assert_eq!(
                keepalive.tick(now_ns, true, unread(0), &config()),
                Ok(Due::Ping)
            );
        }
        assert_eq!(
            keepalive.tick(26, true, unread(48), &config()),
            Ok(Due::Nothing)
        );
        assert_eq!(
            keepalive.tick(30, true, unread(48), &config()),
            Err(ProtocolError::PingTimeout)
        );
    }
}
