//! How fast resync and verification go: as fast as the limits let them, slower while hosts wait long.
//!
//! Rules:
//! 1. The rate stays between the limits, which are the node's; copies that are at it at the same time share them evenly.
//! 2. Every [`ADJUST_NS`] the mean time that hosts' commands took since then is looked at. Longer than the limit: the rate is halved.
//!    Else it grows by an eighth.
//! 3. Bytes are counted when a chunk is begun, whether it has to be sent or not: reading and comparing it costs hosts time too.

/// How often the rate is looked at.
const ADJUST_NS: u64 = 100_000_000;
/// What a pause may save up, as a time.
const BURST_NS: u64 = 200_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// The limits of a node for all its resyncs and verifications together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceLimits {
    /// Not slower than this, however long hosts wait, in bytes per second.
    pub min_bytes_per_s: u64,
    /// Not faster than this; `u64::MAX`: no limit.
    pub max_bytes_per_s: u64,
    /// Slower while hosts' commands take longer than this on average, in nanoseconds.
    pub latency_ns: u64,
}

impl Default for PaceLimits {
    fn default() -> Self {
        Self {
            min_bytes_per_s: 8 << 20,
            max_bytes_per_s: u64::MAX,
            latency_ns: 50_000_000,
        }
    }
}

/// The pace of one copy.
#[derive(Debug)]
pub struct Pace {
    min: u64,
    max: u64,
    latency_ns: u64,
    /// Bytes per second; at most `max`.
    rate: u64,
    /// Bytes that may be begun; negative: a debt.
    credit: i64,
    refilled_ns: u64,
    adjusted_ns: u64,
    /// Hosts' commands since then, and the time that they took.
    answers: u64,
    answers_ns: u64,
    /// Bytes begun since then.
    begun: u64,
    /// Bytes per second as they were lately.
    speed: u64,
}

impl Default for Pace {
    fn default() -> Self {
        let mut pace = Self {
            min: 0,
            max: 0,
            latency_ns: 0,
            rate: 0,
            credit: 0,
            refilled_ns: 0,
            adjusted_ns: 0,
            answers: 0,
            answers_ns: 0,
            begun: 0,
            speed: 0,
        };
        pace.limit(PaceLimits::default(), 1);
        pace.rate = pace.max;
        pace
    }
}

impl Pace {
    /// Set the limits, of which this copy has one part in `shares`.
    pub fn limit(&mut self, limits: PaceLimits, shares: u64) {
        let shares = shares.max(1);
        let part = |bytes: u64| (bytes / shares).max(1);
        let unlimited = limits.max_bytes_per_s == u64::MAX;
        let max = if unlimited {
            u64::MAX
        } else {
            part(limits.max_bytes_per_s)
        };
        let was_full = self.rate == self.max;
        self.max = max;
        self.min = part(limits.min_bytes_per_s).min(max);
        self.latency_ns = limits.latency_ns;
        self.rate = if was_full {
            max
        } else {
            self.rate.clamp(self.min, max)
        };
    }

    /// True when another chunk may be begun.
    pub fn may_begin(&mut self, now_ns: u64) -> bool {
        let passed_ns = now_ns.saturating_sub(self.refilled_ns);
        self.refilled_ns = now_ns;
        let earned = bytes_in(self.rate, passed_ns.min(BURST_NS));
        let most = bytes_in(self.rate, BURST_NS);
        self.credit = self.credit.saturating_add(earned).min(most);
        self.credit > 0
    }

    /// A chunk was begun.
    pub fn took(&mut self, bytes: u64) {
        self.begun = self.begun.saturating_add(bytes);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.credit = self.credit.saturating_sub(bytes);
    }

    /// A host's command took so long.
    pub fn answered(&mut self, took_ns: u64) {
        self.answers += 1;
        self.answers_ns = self.answers_ns.saturating_add(took_ns);
    }

    /// Time passed.
    pub fn tick(&mut self, now_ns: u64) {
        let passed_ns = now_ns.saturating_sub(self.adjusted_ns);
        if passed_ns < ADJUST_NS {
            return;
        }
        let speed = u128::from(self.begun) * u128::from(SECOND_NS) / u128::from(passed_ns);
        let speed = u64::try_from(speed).unwrap_or(u64::MAX);
        self.speed = self.speed / 4 * 3 + speed / 4;
        let mean_ns = self.answers_ns.checked_div(self.answers).unwrap_or(0);
        self.rate = if mean_ns > self.latency_ns {
            // Without a limit the rate says nothing: what was done does.
            (self.rate.min(speed.max(self.min)) / 2).clamp(self.min, self.max)
        } else {
            let more = (self.rate / 8).max(self.min / 4).max(1);
            self.rate.saturating_add(more).clamp(self.min, self.max)
        };
        self.adjusted_ns = now_ns;
        (self.answers, self.answers_ns, self.begun) = (0, 0, 0);
    }

    /// Bytes per second that were begun lately.
    #[must_use]
    pub fn speed(&self) -> u64 {
        self.speed
    }
}

fn bytes_in(rate: u64, time_ns: u64) -> i64 {
    let bytes = u128::from(rate) * u128::from(time_ns) / u128::from(SECOND_NS);
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const TICK_NS: u64 = ADJUST_NS;

    fn limited(min: u64, max: u64) -> Pace {
        let mut pace = Pace::default();
        let limits = PaceLimits {
            min_bytes_per_s: min,
            max_bytes_per_s: max,
            latency_ns: 1000,
        };
        pace.limit(limits, 1);
        pace
    }

    /// Begin what may be begun for so many ticks; how many bytes.
    fn go(pace: &mut Pace, now_ns: &mut u64, ticks: u64, took_ns: Option<u64>) -> u64 {
        let mut bytes = 0;
        for _ in 0..ticks {
            *now_ns += TICK_NS;
            if let Some(took_ns) = took_ns {
                pace.answered(took_ns);
            }
            pace.tick(*now_ns);
            while pace.may_begin(*now_ns) && bytes < 100 << 30 {
                pace.took(64 << 10);
                bytes += 64 << 10;
            }
        }
        bytes
    }

    #[test]
    fn a_limit_is_kept_over_time() {
        let mut pace = limited(MIB, 10 * MIB);
        let mut now_ns = 0;
        let bytes = go(&mut pace, &mut now_ns, 100, None);
        assert!((98 * MIB..=102 * MIB).contains(&bytes), "{bytes} in 10 s");
    }

    #[test]
    fn hosts_that_wait_long_slow_it_down_to_the_lower_bound_and_no_further() {
        let mut pace = limited(MIB, 64 * MIB);
        let mut now_ns = 0;
        go(&mut pace, &mut now_ns, 20, Some(1000));
        assert_eq!(pace.rate, 64 * MIB, "as long as the limit is not longer");
        go(&mut pace, &mut now_ns, 20, Some(1001));
        assert_eq!(pace.rate, MIB);
        let bytes = go(&mut pace, &mut now_ns, 100, Some(5000));
        assert!((9 * MIB..=11 * MIB).contains(&bytes), "{bytes} in 10 s");
        go(&mut pace, &mut now_ns, 100, Some(10));
        assert_eq!(pace.rate, 64 * MIB, "and it recovers");
    }

    #[test]
    fn without_a_limit_what_was_done_is_halved() {
        let mut pace = limited(MIB, u64::MAX);
        let mut now_ns = TICK_NS;
        pace.tick(now_ns);
        pace.took(100 * MIB);
        pace.answered(2000);
        now_ns += TICK_NS;
        pace.tick(now_ns);
        assert_eq!(pace.rate, 500 * MIB);
    }

    #[test]
    fn copies_share_the_limits_evenly() {
        let mut pace = limited(4 * MIB, 40 * MIB);
        let limits = PaceLimits {
            min_bytes_per_s: 4 * MIB,
            max_bytes_per_s: 40 * MIB,
            latency_ns: 1000,
        };
        pace.limit(limits, 4);
        assert_eq!(pace.rate, 10 * MIB);
        pace.limit(limits, 1);
        assert_eq!(pace.rate, 40 * MIB);
    }
}
