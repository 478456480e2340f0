//! Which hosts may be called.

use std::str::FromStr;

use url::Url;

/// Hosts that may be called, from a text with commas between them; an empty text has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<AllowedHost>);

impl FromStr for AllowedHosts {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let hosts = text
            .split(',')
            .map(str::trim)
            .filter(|host| !host.is_empty());
        hosts.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// A host that may be called, on one port or on all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AllowedHost {
    host: String,
    port: Option<u16>,
}

/// A text that is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no host; write host or host:port, without a scheme or a path")]
pub struct InvalidHost {
    text: String,
}

impl FromStr for AllowedHost {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost {
            text: text.to_owned(),
        };
        let text = text.trim();
        if text.contains("://") {
            return Err(invalid());
        }
        // A scheme without a default port keeps every port that is written.
        let url = Url::parse(&format!("host://{text}")).map_err(|_| invalid())?;
        let plain = url.path().is_empty()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty();
        match url.host_str() {
            Some(host) if plain && !host.is_empty() => Ok(Self {
                host: normal(host),
                port: url.port(),
            }),
            _ => Err(invalid()),
        }
    }
}

/// All hosts that may be called.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowList(Vec<AllowedHost>);

impl AllowList {
    /// The hosts that are listed, and those of our own settings.
    pub(crate) fn new(listed: AllowedHosts, implied: &[Option<&Url>]) -> Self {
        let implied = implied.iter().flatten().filter_map(|url| {
            Some(AllowedHost {
                host: normal(url.host_str()?),
                port: url.port_or_known_default(),
            })
        });
        Self(listed.0.into_iter().chain(implied).collect())
    }

    /// Whether a URL may be called.
    pub(crate) fn allows(&self, url: &Url) -> bool {
        let Some(host) = url.host_str().map(normal) else {
            return false;
        };
        let port = url.port_or_known_default();
        matches!(url.scheme(), "http" | "https")
            && self.0.iter().any(|allowed| {
                allowed.host == host && (allowed.port.is_none() || allowed.port == port)
            })
    }
}

fn normal(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(listed: &str, url: &str) -> bool {
        AllowList::new(listed.parse().unwrap(), &[]).allows(&url.parse().unwrap())
    }

    #[test]
    fn a_host_is_allowed_by_name_and_where_given_by_port() {
        assert!(allows(
            "hooks.example.com",
            "https://Hooks.Example.com./a?b"
        ));
        assert!(allows("hooks.example.com", "http://hooks.example.com:8080"));
        assert!(allows("example.org:443", "https://example.org/"));
        assert!(!allows("example.org:443", "http://example.org/"));
        assert!(!allows("example.org", "https://evil.example.org/"));
        assert!(!allows("example.org", "https://example.org.evil.net/"));
        assert!(!allows("example.org", "https://example.org@evil.net/"));
        assert!(!allows("example.org", "ftp://example.org/"));
        assert!(allows("[::1]:8000", "http://[::1]:8000/"));
        assert!(allows("a.example, b.example:80,", "http://b.example/"));
        assert!(!allows("", "http://b.example/"));
    }

    #[test]
    fn the_hosts_of_our_own_settings_are_implied() {
        let hub: Url = "http://state-hub:8000".parse().unwrap();
        let list = AllowList::new(AllowedHosts::default(), &[Some(&hub), None]);
        assert!(list.allows(&"http://state-hub:8000/progress/".parse().unwrap()));
        assert!(!list.allows(&"http://state-hub:9000/".parse().unwrap()));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "https://example.org",
            "example.org/path",
            "a b",
            "host:port",
        ] {
            assert!(text.parse::<AllowedHost>().is_err(), "{text}");
        }
    }
}
