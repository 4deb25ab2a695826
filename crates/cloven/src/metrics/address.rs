//! Where metrics are served.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Where metrics are served: a port of 127.0.0.1 (`9100`), or an address with its port (`127.0.0.1:9100`, `localhost:9100`,
/// `[::1]:9100`, `0.0.0.0:9100`). Port 0 stands for any that is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub struct MetricsAddress(SocketAddr);

/// As it may stand in a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Port(u16),
    Text(String),
}

impl MetricsAddress {
    /// Any free port of 127.0.0.1.
    pub(crate) const ANY: Self = Self::loopback(0);

    const fn loopback(port: u16) -> Self {
        Self(SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)))
    }

    pub(super) fn socket(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = text.strip_prefix("localhost:").unwrap_or(text);
        match (port.parse(), text.parse()) {
            (Ok(port), _) => Ok(Self::loopback(port)),
            (_, Ok(address)) => Ok(Self(address)),
            _ => Err(format!(
                "expected a port, such as 9100 (of 127.0.0.1), or an address, such as 127.0.0.1:9100 or [::1]:9100, got {text:?}"
            )),
        }
    }
}

impl TryFrom<Written> for MetricsAddress {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Port(port) => Ok(Self::loopback(port)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<MetricsAddress> for String {
    fn from(address: MetricsAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_port_is_one_of_this_machine_only() {
        for (text, expected) in [
            ("9100", "127.0.0.1:9100"),
            ("0", "127.0.0.1:0"),
            ("localhost:9100", "127.0.0.1:9100"),
            ("[::1]:9100", "[::1]:9100"),
            ("0.0.0.0:9100", "0.0.0.0:9100"),
        ] {
            assert_eq!(text.parse::<MetricsAddress>().unwrap().to_string(), expected);
        }
        for bad in ["", ":9100", "127.0.0.1", "70000", "localhost", "example.org:9100", "9100 "] {
            assert!(
                bad.parse::<MetricsAddress>().unwrap_err().contains("127.0.0.1:9100"),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_file_may_have_a_number_or_a_text() {
        #[derive(Deserialize)]
        struct File {
            metrics: MetricsAddress,
        }
        let of = |text: &str| toml::from_str::<File>(text).map(|file| file.metrics.to_string());
        assert_eq!(of("metrics = 9100").unwrap(), "127.0.0.1:9100");
        assert_eq!(of("metrics = '[::1]:9'").unwrap(), "[::1]:9");
        assert!(of("metrics = 70000").is_err() && of("metrics = true").is_err());
    }
}
