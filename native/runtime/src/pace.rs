//! How long the loop watches for the next event before it sleeps.
//!
//! Waking a sleeping thread costs tens of microseconds when its processor is idle (more in a virtual machine), which is
//! most of the time of one small read at queue depth 1. So the loop polls for a short while after it has worked, and:
//!
//! * it polls only while polling pays: the recent gaps between events were shorter than the window;
//! * a gap that outlasts the window halves the credit, so an idle engine sleeps at once and costs nothing;
//! * between polls the thread yields, so that whoever shares the processor (often the initiator itself) runs first.

/// The longest time to watch before sleeping, in nanoseconds.
pub const WINDOW_NS: u64 = 50_000;
const CREDIT_MAX: u32 = 64;

/// Decides between watching and sleeping from the gaps seen.
#[derive(Debug)]
pub struct Pace {
    credit: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { credit: 1 }
    }
}

impl Pace {
    /// How long to watch now before sleeping, in nanoseconds; 0: sleep at once.
    #[must_use]
    pub fn window_ns(&self) -> u64 {
        if self.credit > 0 { WINDOW_NS } else { 0 }
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

    #[test]
    fn an_idle_engine_soon_sleeps_at_once() {
        let mut pace = Pace::default();
        for _ in 0..1000 {
            pace.arrived(1_000);
        }
        assert_eq!(pace.window_ns(), WINDOW_NS);
        for _ in 0..8 {
            pace.arrived(100_000_000);
        }
        assert_eq!(pace.window_ns(), 0);
    }

    #[test]
    fn a_short_gap_brings_watching_back() {
        let mut pace = Pace { credit: 0 };
        pace.arrived(30_000);
        assert_eq!(pace.window_ns(), WINDOW_NS);
        let mut pace = Pace { credit: 0 };
        pace.arrived(90_000);
        assert_eq!(pace.window_ns(), WINDOW_NS);
    }
}
