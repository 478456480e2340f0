//! The Temporal SDK's runtime and metrics.
//!
//! The SDK keeps its metrics in a registry of its own, which can only be scraped: it is served on
//! a loopback port, from where `/metrics` takes it over.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use temporalio_common::telemetry::metrics::{CoreMeter, TemporalMeter};
use temporalio_common::telemetry::{
    PrometheusExporterOptions, TelemetryOptions, start_prometheus_metric_exporter, telemetry_init,
};
use temporalio_sdk::Runtime;
use temporalio_sdk::runtime::RuntimeOptions;

/// The SDK's runtime, and where its metrics are.
pub(crate) struct SdkTelemetry {
    /// The runtime for workers; it uses the present tokio runtime.
    pub(crate) runtime: Runtime,
    /// The meter for the client.
    pub(crate) meter: Option<TemporalMeter>,
    /// Where the SDK's metrics are served.
    pub(crate) exporter: SocketAddr,
}

impl SdkTelemetry {
    /// Starts the exporter and the runtime. Must be called within a tokio runtime.
    pub(crate) fn start() -> Result<Self> {
        let server = start_prometheus_metric_exporter(
            PrometheusExporterOptions::builder()
                .socket_addr(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
                .counters_total_suffix(true)
                .unit_suffix(true)
                .use_seconds_for_durations(true)
                .build(),
        )
        .context("failed to serve the Temporal SDK's metrics on a loopback port")?;
        let meter: Arc<dyn CoreMeter> = server.meter;
        let options = TelemetryOptions::builder().metrics(meter).build();
        // The runtime does not hand out its meter, which the client needs before there is a
        // worker; one from the same options counts into the same registry.
        let instance = telemetry_init(options.clone())
            .context("failed to set up the Temporal client's metrics")?;
        let options = RuntimeOptions::builder()
            .telemetry_options(options)
            .build()
            .map_err(anyhow::Error::msg)?;
        Ok(Self {
            runtime: Runtime::from_current_tokio(options)?,
            meter: instance.get_temporal_metric_meter(),
            exporter: server.bound_addr,
        })
    }
}
