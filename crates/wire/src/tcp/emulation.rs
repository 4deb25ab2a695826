//! What an emulated link is like: bandwidth and round-trip time.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// A link of this bandwidth and round-trip time, such as `100Mbps,rtt=50ms`, imitated on whatever link there is.
///
/// Each party paces what it sends, TLS included, and delays it by half the round trip; with the same setting at both ends the link is
/// the same in both directions. What the link beneath takes comes on top. No packets are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Emulation {
    bits_per_second: u64,
    rtt: Duration,
}

/// A text that describes no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no link: {problem}; expected a bandwidth and perhaps a round-trip time, such as 100Mbps,rtt=50ms (10kbps to 10Gbps; up \
     to 2s)"
)]
pub struct EmulationError {
    text: String,
    problem: String,
}

/// A handshake over a slower link would not end in time.
const SLOWEST: u64 = 10_000;
const FASTEST: u64 = 10_000_000_000;
const LONGEST: Duration = Duration::from_secs(2);
/// Units, the largest first.
const BANDWIDTHS: [(&str, u64); 4] = [("Gbps", 1_000_000_000), ("Mbps", 1_000_000), ("kbps", 1000), ("bps", 1)];
const TIMES: [(&str, u64); 3] = [("ms", 1_000_000), ("us", 1000), ("s", 1_000_000_000)];

impl Emulation {
    /// Bits per second, in each direction.
    pub fn bits_per_second(&self) -> u64 {
        self.bits_per_second
    }

    /// The round-trip time.
    pub fn rtt(&self) -> Duration {
        self.rtt
    }

    /// How long the line is busy with `bytes`.
    fn busy(&self, bytes: usize) -> Duration {
        let nanos = bytes as u128 * 8_000_000_000 / u128::from(self.bits_per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Bytes that are on the line at once.
    pub(super) fn in_flight(&self) -> usize {
        (u128::from(self.bits_per_second) * self.rtt.as_nanos() / 16_000_000_000) as usize
    }
}

/// One direction of an emulated link, as a clock that runs ahead.
pub(super) struct Line {
    emulation: Emulation,
    /// When the last byte so far has left.
    free: Instant,
}

impl Line {
    pub(super) fn new(emulation: Emulation, now: Instant) -> Self {
        Self { emulation, free: now }
    }

    /// Sends bytes after all earlier ones; returns when the last of them arrives.
    pub(super) fn carry(&mut self, bytes: usize, now: Instant) -> Instant {
        self.free = self.free.max(now) + self.emulation.busy(bytes);
        self.free + self.emulation.rtt / 2
    }
}

impl FromStr for Emulation {
    type Err = EmulationError;

    fn from_str(text: &str) -> Result<Self, EmulationError> {
        let fail = |problem: String| EmulationError {
            text: text.chars().take(60).collect(),
            problem,
        };
        let mut parts = text.split(',').map(str::trim);
        let bandwidth = parts.next().unwrap_or_default();
        let bits_per_second = quantity(bandwidth, &BANDWIDTHS).ok_or_else(|| fail(format!("{bandwidth:?} is no bandwidth")))?;
        let mut rtt = Duration::ZERO;
        for part in parts {
            let value = part.strip_prefix("rtt=").and_then(|value| quantity(value, &TIMES));
            rtt = Duration::from_nanos(value.ok_or_else(|| fail(format!("{part:?} is no round-trip time")))?);
        }
        if !(SLOWEST..=FASTEST).contains(&bits_per_second) {
            return Err(fail("the bandwidth is out of range".into()));
        }
        if rtt > LONGEST {
            return Err(fail("the round-trip time is out of range".into()));
        }
        Ok(Self { bits_per_second, rtt })
    }
}

/// A decimal number with one of the units, in units of 1.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, scale) = units
        .iter()
        .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, *scale)))?;
    let plain = |c: char| c.is_ascii_digit() || c == '.';
    let value: f64 = number.parse().ok().filter(|_| number.chars().all(plain))?;
    // A float becomes the nearest integer within range.
    Some((value * scale as f64).round() as u64)
}

/// In the largest unit of which the value is a whole multiple.
fn written(value: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().find(|(_, scale)| value.is_multiple_of(*scale));
    let (unit, scale) = whole.copied().unwrap_or(("", 1));
    format!("{}{unit}", value / scale)
}

impl fmt::Display for Emulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(self.bits_per_second, &BANDWIDTHS))?;
        match self.rtt.as_nanos() as u64 / 1000 * 1000 {
            0 => Ok(()),
            rtt => write!(f, ",rtt={}", written(rtt, &TIMES)),
        }
    }
}

impl TryFrom<String> for Emulation {
    type Error = EmulationError;

    fn try_from(text: String) -> Result<Self, EmulationError> {
        text.parse()
    }
}

impl From<Emulation> for String {
    fn from(emulation: Emulation) -> Self {
        emulation.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "100Mbps,rtt=50ms",
            "10kbps",
            "1Gbps,rtt=250us",
            "1500kbps,rtt=2000ms",
            "12345bps,rtt=1ms",
        ] {
            assert_eq!(text.parse::<Emulation>().unwrap().to_string(), text);
        }
        let same: Emulation = "0.1Gbps, rtt=0.05s".parse().unwrap();
        assert_eq!(same, "100Mbps,rtt=50ms".parse().unwrap());
        assert_eq!((same.bits_per_second(), same.rtt()), (100_000_000, Duration::from_millis(50)));
    }

    #[test]
    fn what_is_no_link_is_said() {
        for (text, problem) in [
            ("", "no bandwidth"),
            ("fast", "no bandwidth"),
            ("-1Mbps", "no bandwidth"),
            ("1e3Mbps", "no bandwidth"),
            ("100Mb", "no bandwidth"),
            ("100Mbps,50ms", "no round-trip time"),
            ("100Mbps,rtt=", "no round-trip time"),
            ("100Mbps,rtt=50", "no round-trip time"),
            ("1kbps", "out of range"),
            ("11Gbps", "out of range"),
            ("1Mbps,rtt=3s", "out of range"),
        ] {
            let error = text.parse::<Emulation>().unwrap_err().to_string();
            assert!(
                error.contains(problem) && error.contains("100Mbps,rtt=50ms"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_line_carries_at_its_rate_and_delays_by_half_a_round_trip() {
        let now = Instant::now();
        let mut line = Line::new("100Mbps,rtt=50ms".parse().unwrap(), now);
        let mut arrivals = (0..1221).map(|_| line.carry(16_384, now));
        let first = arrivals.next().unwrap();
        let last = arrivals.last().unwrap();
        let exact = |bytes: f64| 8.0 * bytes / 1e8 + 0.025;
        assert!(((first - now).as_secs_f64() - exact(16_384.0)).abs() < 1e-6);
        // 20 MB take 1.6 s.
        assert!(((last - now).as_secs_f64() - exact(1221.0 * 16_384.0)).abs() < 1e-5);
        // A line that was idle starts when it is used again.
        let later = now + Duration::from_secs(60);
        assert!(((line.carry(1000, later) - later).as_secs_f64() - exact(1000.0)).abs() < 1e-6);
    }

    #[test]
    fn in_flight_is_bandwidth_times_delay() {
        assert_eq!("100Mbps,rtt=50ms".parse::<Emulation>().unwrap().in_flight(), 312_500);
    }
}
