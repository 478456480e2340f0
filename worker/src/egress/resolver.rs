//! Name resolution that an allowed name can't be pointed past.
//!
//! Whoever owns an allowed name decides where it points. Private addresses are where State Hub
//! and its like really are; link-local ones, where clouds keep their metadata services, never.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The system's resolver, without addresses that no service of ours can have.
#[derive(Debug, Clone, Copy)]
pub(super) struct GuardedResolver;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let usable: Vec<_> = found.filter(|address| is_usable(address.ip())).collect();
            if usable.is_empty() {
                return Err("the name resolves to no address that may be called".into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

fn is_usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_usable_v4(address),
        IpAddr::V6(address) => address
            .to_ipv4_mapped()
            .map_or_else(|| is_usable_v6(address), is_usable_v4),
    }
}

const fn is_usable_v4(address: Ipv4Addr) -> bool {
    !(address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_unspecified())
}

const fn is_usable_v6(address: Ipv6Addr) -> bool {
    !(address.is_unicast_link_local() || address.is_multicast() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_addresses_are_never_called() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "224.0.0.1",
        ] {
            assert!(!is_usable(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.7", "::1", "2001:db8::1"] {
            assert!(is_usable(address.parse().unwrap()), "{address}");
        }
    }
}
