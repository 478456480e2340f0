//! The well-known ports of the development stack.

use super::Endpoints;

pub(super) const API: u16 = 8010;
pub(super) const WORKER_METRICS: u16 = 9090;
pub(super) const NATS: u16 = 4222;
pub(super) const NATS_MONITORING: u16 = 8222;
pub(super) const TEMPORAL: u16 = 7233;
pub(super) const TEMPORAL_UI: u16 = 8080;

/// One sentence for each well-known port that was taken by somebody else.
pub(super) fn substitutions(endpoints: &Endpoints) -> Vec<String> {
    [
        ("the API", API, &endpoints.api_url),
        (
            "the worker's metrics server",
            WORKER_METRICS,
            &endpoints.worker_metrics_url,
        ),
        ("NATS", NATS, &endpoints.nats_url),
        (
            "the monitoring of NATS",
            NATS_MONITORING,
            &endpoints.nats_monitoring_url,
        ),
        ("Temporal", TEMPORAL, &endpoints.temporal_host),
        ("Temporal's UI", TEMPORAL_UI, &endpoints.temporal_ui_url),
    ]
    .into_iter()
    .filter_map(|(who, wanted, address)| {
        let given = port_of(address)?;
        (given != wanted).then(|| format!("port {wanted} is taken; {who} listens on {given}"))
    })
    .collect()
}

fn port_of(address: &str) -> Option<u16> {
    let (_, rest) = address.rsplit_once(':')?;
    rest.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_in_every_form_of_address() {
        assert_eq!(port_of("127.0.0.1:7233"), Some(7233));
        assert_eq!(port_of("nats://127.0.0.1:4222"), Some(4222));
        assert_eq!(port_of("http://127.0.0.1:9090/metrics"), Some(9090));
        assert_eq!(port_of("no address"), None);
    }
}
