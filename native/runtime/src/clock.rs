//! The one clock of a node: CLOCK_BOOTTIME, which goes on while the machine sleeps, so that a thawed node finds its lease over.

use rustix::time::{ClockId, clock_gettime};

/// Now, in nanoseconds since the machine booted (time asleep included).
#[must_use]
pub fn boottime_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward_in_nanoseconds() {
        let first = boottime_ns();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let passed = boottime_ns() - first;
        assert!((2_000_000..5_000_000_000).contains(&passed));
    }
}
