//! The connection to Kubernetes, and the deadline that every call has.

use std::path::Path;
use std::time::Duration;

use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Who writes, in `metadata.managedFields`.
const FIELD_MANAGER: &str = "activity-core.io/api";

/// Objects per page of a listing.
const PAGE_SIZE: u32 = 500;

/// How often something is tried when others write at the same time.
pub(crate) const ATTEMPTS: usize = 5;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A kubeconfig or service account that is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// The kubeconfig can't be read.
    #[error("unable to read the kubeconfig {files} (KUBECONFIG)")]
    Kubeconfig {
        /// The files.
        files: String,
        /// Why not.
        #[source]
        source: KubeconfigError,
    },
    /// Neither a kubeconfig nor a service account.
    #[error("unable to find out how to reach Kubernetes; set KUBECONFIG, or run in a cluster")]
    Infer(#[source] kube::config::InferConfigError),
    /// The client can't be made.
    #[error("unable to make a Kubernetes client")]
    Client(#[source] kube::Error),
}

/// A client that connects when it is first used.
pub(crate) async fn client(kubeconfig: Option<&Path>) -> Result<Client, KubernetesError> {
    let mut config = match kubeconfig {
        Some(files) => from_files(files)
            .await
            .map_err(|source| KubernetesError::Kubeconfig {
                files: files.display().to_string(),
                source,
            })?,
        None => Config::infer().await.map_err(KubernetesError::Infer)?,
    };
    config.connect_timeout = Some(Duration::from_secs(5));
    // A write that was answered with 504 may have happened; only the caller knows whether to
    // repeat it.
    config.default_retry = false;
    Client::try_from(config).map_err(KubernetesError::Client)
}

/// Merges the files as kubectl does: the first to say something wins.
async fn from_files(files: &Path) -> Result<Config, KubeconfigError> {
    let mut merged = Kubeconfig::default();
    for file in std::env::split_paths(files) {
        merged = merged.merge(Kubeconfig::read_from(file)?)?;
    }
    Config::from_custom_kubeconfig(merged, &KubeConfigOptions::default()).await
}

/// Awaits a call's answer, but no longer than ten seconds. An answer of the API server that the
/// caller wants to judge for itself is the inner result.
pub(crate) async fn call<T>(
    operation: &'static str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<Result<T, kube::Error>, Error> {
    tokio::time::timeout(CALL_TIMEOUT, call)
        .await
        .map_err(|_| Error::KubernetesTimeout { operation })
}

/// Names the call that failed.
pub(crate) fn failed(operation: &'static str) -> impl Fn(kube::Error) -> Error {
    move |source| Error::Kubernetes {
        operation,
        source: Box::new(source),
    }
}

/// Awaits a call that is expected to succeed.
pub(crate) async fn expect<T>(
    operation: &'static str,
    future: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    call(operation, future).await?.map_err(failed(operation))
}

/// Whether the API server answered with this status.
pub(crate) fn has_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// The parameters of every create and replace.
pub(crate) fn post_parameters() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// Reads all pages. A listing that takes so long that its token expires (410) begins again.
pub(crate) async fn list_all<K>(api: &Api<K>, operation: &'static str) -> Result<Vec<K>, Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut all = Vec::new();
    let mut token: Option<String> = None;
    let mut beginnings = 1;
    loop {
        let mut parameters = ListParams::default().limit(PAGE_SIZE);
        parameters.continue_token = token.take();
        match call(operation, api.list(&parameters)).await? {
            Ok(page) => {
                all.extend(page.items);
                token = page.metadata.continue_.filter(|token| !token.is_empty());
                if token.is_none() {
                    return Ok(all);
                }
            }
            Err(error) if has_code(&error, 410) && beginnings < ATTEMPTS => {
                beginnings += 1;
                all.clear();
            }
            Err(error) => return Err(failed(operation)(error)),
        }
    }
}
