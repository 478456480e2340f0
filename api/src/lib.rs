//! The REST façade: it writes custom resources and reads the run ledger.
//!
//! Definitions live in Kubernetes, and only there; what this API shows of them it reads from there,
//! so that a definition can be read as soon as its POST has returned. Runs come from Postgres, and
//! a run on request is started in Temporal. Everything that becomes of a definition afterwards is
//! the operator's business.
//!
//! The API comes up while Postgres or Temporal is away: what does not need them works, the rest is
//! answered with 503.

mod access;
mod arguments;
mod browser;
mod conversion;
mod cursor;
mod dead_letters;
mod definitions;
mod entity_tag;
mod error;
mod event_types;
mod expectation;
mod extract;
mod feedback_notes;
mod kubernetes;
mod kubernetes_refusal;
mod metrics;
mod page;
mod rate_limit;
mod routes;
mod serve;
mod state;
mod temporal_link;

use std::process::ExitCode;

use clap::Parser as _;
use runtime::Shutdown;

pub use arguments::{Arguments, AuthenticationMode, InvalidArguments};
pub use kubernetes::KubernetesError;
pub use serve::{RunError, run};

/// The program's name, in logs and at its dependencies.
const PROGRAM: &str = "actcore-api";

/// The program `actcore-api`.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    runtime::run_program(PROGRAM, async {
        runtime::initialize(&arguments.log)?;
        run(arguments, Shutdown::on_signals()?).await?;
        Ok(())
    })
}

/// Every metric of the API, those without a series too.
pub fn metrics() -> Result<Vec<runtime::MetricDescription>, prometheus::Error> {
    let exported = runtime::Metrics::new(PROGRAM, env!("CARGO_PKG_VERSION"))?;
    metrics::RequestMetrics::register(exported.registry(), &[])?;
    metrics::NoteMetrics::register(exported.registry())?;
    Ok(exported.registry().descriptions())
}

/// The description of the API (OpenAPI 3.1), as `/openapi.json` serves it.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes::document()
}
