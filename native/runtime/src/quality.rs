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
        })
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
    fn what_waits_before_it_makes_an_arrival_late() {
        let far = Quality {
            round_trip_ns: 40_000_000,
            window_bytes: 1 << 20,
        };
        assert_eq!(far.arrival_ns(0), 20_000_000);
        assert_eq!(far.arrival_ns(3 << 20), 140_000_000);
        assert_eq!(Quality::default().arrival_ns(u64::MAX), 0);
    }
}
