//! Refuses at `kubectl apply` what the CRD's schema and CEL rules can't see: cron expressions, time
//! zones, CEL conditions, prompt templates, JSON Schemas, and the sum of the timeouts.
//!
//! It is a courtesy to the user, not the line of defence: its failure policy is Ignore, so that an
//! operator that is down keeps nobody from applying, and what slips past ends as Stalled. Every
//! replica answers, whoever leads. The certificates are the operator's own (see [`certificate`]).

mod certificate;
mod configuration;
mod credentials;
mod decide;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use axum_server::tls_rustls::RustlsConfig;
use chrono::Utc;
use kube::Client;
use kube::api::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use prometheus::IntGauge;
use runtime::Shutdown;

use crate::Arguments;
use certificate::Certificate;
pub(crate) use configuration::Target;
use credentials::Credentials;

/// How often the certificates and the configuration are looked at.
const CHECK_INTERVAL: Duration = Duration::from_hours(1);

/// How long to wait after a failed look.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Serves the webhook until the process is to stop, and keeps its certificates and its
/// registration in order. Does nothing when no address is set.
pub(crate) async fn run(
    client: Client,
    arguments: &Arguments,
    expiry: IntGauge,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let Some(address) = arguments.webhook_bind_addr else {
        tracing::info!("no webhook: WEBHOOK_BIND_ADDR is not set");
        return Ok(());
    };
    let target = Target::new(arguments);
    let credentials = Credentials::new(client.clone(), &arguments.pod_namespace);
    let Some((certificate, tls)) = first_certificate(&credentials, &target, shutdown).await else {
        return Ok(());
    };
    expiry.set(certificate.expires_at().timestamp());
    let server = serve(address, tls.clone(), arguments.time_limit(), shutdown);
    let upkeep = Upkeep {
        client,
        credentials,
        target,
        tls,
        serving: certificate,
        expiry,
    };
    tokio::try_join!(server, upkeep.run(shutdown))?;
    Ok(())
}

async fn first_certificate(
    credentials: &Credentials,
    target: &Target,
    shutdown: &Shutdown,
) -> Option<(Certificate, RustlsConfig)> {
    loop {
        match load(credentials, target).await {
            Ok(loaded) => return Some(loaded),
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                retry_in_seconds = RETRY_INTERVAL.as_secs(),
                "unable to get the webhook's certificate"
            ),
        }
        if !shutdown.sleep(RETRY_INTERVAL).await {
            return None;
        }
    }
}

async fn load(
    credentials: &Credentials,
    target: &Target,
) -> anyhow::Result<(Certificate, RustlsConfig)> {
    let certificate = credentials.ensure(&target.host_names(), Utc::now()).await?;
    let tls = RustlsConfig::from_pem(
        certificate.chain.clone().into_bytes(),
        certificate.key.clone().into_bytes(),
    )
    .await
    .context("unable to use the webhook's certificate")?;
    Ok((certificate, tls))
}

/// Keeps the certificate fresh and the registration as it should be.
struct Upkeep {
    client: Client,
    credentials: Credentials,
    target: Target,
    tls: RustlsConfig,
    serving: Certificate,
    /// When what is served ends, as a metric.
    expiry: IntGauge,
}

impl Upkeep {
    async fn run(mut self, shutdown: &Shutdown) -> anyhow::Result<()> {
        loop {
            let pause = match self.look().await {
                Ok(()) => CHECK_INTERVAL,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        retry_in_seconds = RETRY_INTERVAL.as_secs(),
                        "unable to keep the webhook in order"
                    );
                    RETRY_INTERVAL
                }
            };
            if !shutdown.sleep(pause).await {
                return Ok(());
            }
        }
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let host_names = self.target.host_names();
        let current = self.credentials.ensure(&host_names, Utc::now()).await?;
        if current != self.serving {
            self.tls
                .reload_from_pem(
                    current.chain.clone().into_bytes(),
                    current.key.clone().into_bytes(),
                )
                .await
                .context("unable to use the webhook's new certificate")?;
            tracing::info!("serving the webhook with a new certificate");
            self.expiry.set(current.expires_at().timestamp());
            self.serving = current;
        }
        configuration::apply(&self.client, &self.target, &self.serving.authorities).await
    }
}

async fn serve(
    address: SocketAddr,
    tls: RustlsConfig,
    time_limit: Duration,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route(configuration::PATH, post(review))
        .with_state(Arc::new(time_limit));
    let handle = axum_server::Handle::new();
    let server = axum_server::bind_rustls(address, tls)
        .handle(handle.clone())
        .serve(router.into_make_service());
    tracing::info!(%address, "serving the admission webhook");
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => ended.with_context(|| {
            format!("unable to serve the webhook at {address} (set WEBHOOK_BIND_ADDR)")
        }),
        () = shutdown.begun() => {
            handle.graceful_shutdown(Some(Duration::from_secs(5)));
            server.await.context("unable to end the webhook's server")
        }
    }
}

async fn review(
    State(time_limit): State<Arc<Duration>>,
    Json(review): Json<AdmissionReview<DynamicObject>>,
) -> Json<AdmissionReview<DynamicObject>> {
    let request: AdmissionRequest<DynamicObject> = if let Ok(request) = review.try_into() {
        request
    } else {
        let invalid = AdmissionResponse::invalid("the review holds no request");
        return Json(invalid.into_review());
    };
    let response = AdmissionResponse::from(&request);
    let response = match decide::decide(&request, *time_limit) {
        Ok(()) => response,
        Err(refusal) => {
            tracing::info!(
                kind = request.kind.kind,
                namespace = request.namespace,
                name = request.name,
                refusal,
                "refused"
            );
            response.deny(refusal)
        }
    };
    Json(response.into_review())
}
