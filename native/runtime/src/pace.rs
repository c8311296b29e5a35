//! How long the loop watches for the next event before it sleeps.
//!
//! Waking a sleeping thread costs tens of microseconds when its processor is idle (more in a virtual machine), which is
//! most of the time of one small read at queue depth 1. So the loop polls for a short while after it has worked, and:
//!
//! * it polls only while polling pays: the recent gaps between events were shorter than the window;
//! * a gap that outlasts the window halves the credit, so an idle engine sleeps at once and costs nothing;
//! * between polls the thread yields, so that whoever shares the processor (often the initiator itself) runs first;
//! * when a yield lasts long, the processor is wanted by somebody who computes: a thread that yields would wait for whole
//!   time slices, one that sleeps is run at once when it is woken. So there is no watching for a while.

/// The longest time to watch before sleeping, in nanoseconds.
pub const WINDOW_NS: u64 = 50_000;
/// A yield that lasts this long went to somebody who computes, in nanoseconds.
const LONG_YIELD_NS: u64 = 200_000;
/// After that there is no watching for this long, in nanoseconds.
const CROWDED_NS: u64 = 20_000_000;
const CREDIT_MAX: u32 = 64;

/// Decides between watching and sleeping from the gaps seen.
#[derive(Debug)]
pub struct Pace {
    credit: u32,
    crowded_until_ns: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            credit: 1,
            crowded_until_ns: 0,
        }
    }
}

impl Pace {
    /// How long to watch from `now_ns` on before sleeping, in nanoseconds; 0: sleep at once.
    #[must_use]
    pub fn window_ns(&self, now_ns: u64) -> u64 {
        if self.credit > 0 && now_ns >= self.crowded_until_ns {
            WINDOW_NS
        } else {
            0
        }
    }

    /// A yield lasted from `from_ns` to `to_ns`.
    pub fn yielded(&mut self, from_ns: u64, to_ns: u64) {
        if to_ns - from_ns > LONG_YIELD_NS {
            self.crowded_until_ns = to_ns + CROWDED_NS;
        }
    }

    /// Something arrived `gap_ns` after the loop had nothing left to do.
    pub fn arrived(&mut self, gap_ns: u64) {
        if gap_ns <= WINDOW_NS {
            self.credit = (self.credit + 1).min(CREDIT_MAX);
        } else {
            // A sleep counts double its wake-up latency: a gap below two windows would have been caught by watching.
            self.credit = if gap_ns <= 2 * WINDOW_NS {
                self.credit.max(1)
            } else {
                self.credit / 2
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(credit: u32) -> Pace {
        Pace {
            credit,
            ..Pace::default()
        }
    }

    #[test]
    fn an_idle_engine_soon_sleeps_at_once() {
        let mut pace = Pace::default();
        for _ in 0..1000 {
            pace.arrived(1_000);
        }
        assert_eq!(pace.window_ns(0), WINDOW_NS);
        for _ in 0..8 {
            pace.arrived(100_000_000);
        }
        assert_eq!(pace.window_ns(0), 0);
    }

    #[test]
    fn a_short_gap_brings_watching_back() {
        for gap_ns in [30_000, 90_000] {
            let mut pace = pace(0);
            pace.arrived(gap_ns);
            assert_eq!(pace.window_ns(0), WINDOW_NS);
        }
    }

    #[test]
    fn a_crowded_processor_is_left_alone_for_a_while() {
        let mut pace = pace(9);
        pace.yielded(1_000, 90_000);
        assert_eq!(pace.window_ns(90_000), WINDOW_NS);
        pace.yielded(100_000, 3_000_000);
        assert_eq!(pace.window_ns(3_000_001), 0);
        assert_eq!(pace.window_ns(3_000_000 + CROWDED_NS), WINDOW_NS);
    }
}
