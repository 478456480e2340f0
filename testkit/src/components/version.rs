//! Version numbers as server programs print them.

use std::fmt;

/// A version; a part that is not printed counts as zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// `major.minor.0`.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self {
            major,
            minor,
            patch: 0,
        }
    }

    /// The first version in what a program printed, such as `Kubernetes v1.36.3` or
    /// `postgres (PostgreSQL) 15.18 (Debian 15.18-0)`.
    pub fn find_in(output: &str) -> Option<Self> {
        output
            .split(|character: char| !character.is_ascii_digit() && character != '.')
            .find_map(Self::parse)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim_matches('.').split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        let patch = parts.next().map_or(Some(0), |part| part.parse().ok())?;
        Some(Self {
            major,
            minor,
            patch,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 {
            write!(formatter, ".{}", self.patch)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(output: &str) -> Option<String> {
        Version::find_in(output).map(|version| version.to_string())
    }

    #[test]
    fn every_servers_way_to_print_its_version_is_understood() {
        for (output, version) in [
            (
                "etcd Version: 3.6.8\nGit SHA: 3c9e6a2\nGo Version: go1.26.8",
                "3.6.8",
            ),
            ("Kubernetes v1.36.3", "1.36.3"),
            (
                "Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0",
                "1.32.4",
            ),
            ("temporal version 1.9.1 (Server 1.32.0, UI 2.54.1)", "1.9.1"),
            ("nats-server: v2.15.1", "2.15.1"),
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                "15.18",
            ),
            ("go version go1.26.8 linux/amd64", "1.26.8"),
        ] {
            assert_eq!(shown(output).as_deref(), Some(version), "{output}");
        }
    }

    #[test]
    fn output_without_a_version_has_none() {
        assert_eq!(shown("command not found"), None);
        assert_eq!(shown("version 7"), None);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(Version::find_in("1.9.1") < Version::find_in("1.34.0"));
        assert!(Version::find_in("15.18") > Some(Version::new(14, 0)));
        assert!(Version::find_in("1.34") >= Some(Version::new(1, 34)));
    }
}
