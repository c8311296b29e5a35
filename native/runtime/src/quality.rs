//! How good the way of a TCP connection is, as the kernel knows it (`TCP_INFO`, tcp(7)).

use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// How good the way to the other side is, as the kernel's TCP sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quality {
    /// Time from sending to acknowledgement, smoothed, in nanoseconds.
    pub round_trip_ns: u64,
    /// How much may be on the way at once, in bytes.
    pub window_bytes: u64,
    /// Segments were sent that are not acknowledged.
    pub is_awaiting: bool,
    /// Time since anything of the other side's TCP arrived, in nanoseconds.
    pub quiet_ns: u64,
}

impl Quality {
    /// Of the way of a TCP connection; None: the kernel does not say.
    #[must_use]
    pub fn of(connection: &impl AsRawFd) -> Option<Self> {
        let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
        let mut len_bytes = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
        // SAFETY: the kernel writes at most `len_bytes` bytes, which is the structure's size.
        let answer = unsafe {
            libc::getsockopt(
                connection.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut len_bytes,
            )
        };
        // SAFETY: it was zeroed, and every bit pattern is a valid one of its numbers.
        let info = unsafe { info.assume_init() };
        (answer == 0).then(|| Self {
            round_trip_ns: u64::from(info.tcpi_rtt) * 1000,
            window_bytes: u64::from(info.tcpi_snd_cwnd) * u64::from(info.tcpi_snd_mss),
            is_awaiting: info.tcpi_unacked > 0,
            quiet_ns: u64::from(info.tcpi_last_ack_recv) * 1_000_000,
        })
    }

    /// Since when TCP waits for an answer to what it has sent; `since_ns`: as it was known before. None: it does not wait. A window that is
    /// shut is no such wait: the other side answers, and has other things to do than to read.
    #[must_use]
    pub fn waits_since_ns(&self, since_ns: Option<u64>, now_ns: u64) -> Option<u64> {
        let answered_ns = now_ns.saturating_sub(self.quiet_ns);
        self.is_awaiting
            .then(|| since_ns.unwrap_or(now_ns).max(answered_ns))
    }

    /// In how many nanoseconds something arrives that is sent behind `load_bytes`.
    #[must_use]
    pub fn arrival_ns(&self, load_bytes: u64) -> u64 {
        let windows = u128::from(self.round_trip_ns) * u128::from(load_bytes);
        let wait_ns = windows / u128::from(self.window_bytes.max(1));
        (self.round_trip_ns / 2).saturating_add(u64::try_from(wait_ns).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernel_says_how_good_the_way_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let quality = Quality::of(&client).unwrap();
        assert!(
            (1..1_000_000_000).contains(&quality.round_trip_ns),
            "{quality:?}"
        );
        assert!(quality.window_bytes > 1000, "{quality:?}");
    }

    #[test]
    fn an_answer_is_awaited_since_something_was_sent_or_since_the_latest_one() {
        let of = |is_awaiting, quiet_ns| Quality {
            is_awaiting,
            quiet_ns,
            ..Quality::default()
        };
        assert_eq!(of(false, 900).waits_since_ns(Some(10), 1000), None);
        // Nothing was said for long, and then something is sent.
        assert_eq!(of(true, 900).waits_since_ns(None, 1000), Some(1000));
        assert_eq!(of(true, 950).waits_since_ns(Some(1000), 1050), Some(1000));
        assert_eq!(of(true, 20).waits_since_ns(Some(1000), 1100), Some(1080));
    }

    #[test]
    fn what_waits_before_it_makes_an_arrival_late() {
        let far = Quality {
            round_trip_ns: 40_000_000,
            window_bytes: 1 << 20,
            ..Quality::default()
        };
        assert_eq!(far.arrival_ns(0), 20_000_000);
        assert_eq!(far.arrival_ns(3 << 20), 140_000_000);
        assert_eq!(Quality::default().arrival_ns(u64::MAX), 0);
    }
}
