//! The Kubernetes API, with the user's kubeconfig or, in a pod, its service account.

use std::future::Future;
use std::time::Duration;

use clap::Args;
use crds::{ActivityDefinition, EventType};
use kube::api::{ApiResource, DynamicObject};
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;

use crate::connections::PATIENCE;
use crate::exit::Problem;

/// The field manager of what we apply. Not the operator's: two programs under one name would take
/// each other's fields away.
pub(crate) const FIELD_MANAGER: &str = "activity-core.io/cli";

/// Which cluster and namespace.
#[derive(Debug, Clone, Args)]
#[group(id = "cluster-arguments")]
pub(crate) struct ClusterArguments {
    /// The Kubernetes namespace [default: that of the kubeconfig's context]
    #[arg(short, long, value_name = "NAMESPACE", help_heading = "Kubernetes")]
    pub(crate) namespace: Option<String>,

    /// The context of the kubeconfig (KUBECONFIG, else ~/.kube/config) [default: the current one]
    #[arg(long, value_name = "NAME", help_heading = "Kubernetes")]
    pub(crate) context: Option<String>,
}

/// Access to the Kubernetes API.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: Client,
    /// The namespace of what names none.
    pub(crate) namespace: String,
}

impl Cluster {
    /// Reads the configuration; nothing is contacted yet.
    pub(crate) async fn configure(arguments: &ClusterArguments) -> Result<Self, Problem> {
        let mut config = match &arguments.context {
            None => Config::infer().await.map_err(|error| {
                // Of the two ways that were tried, the kubeconfig is the one that a person meant.
                let reason = std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), runtime::describe);
                Problem::usage(format!("no access to Kubernetes: {reason}; set KUBECONFIG"))
            })?,
            Some(context) => {
                let options = KubeConfigOptions {
                    context: Some(context.clone()),
                    ..KubeConfigOptions::default()
                };
                let config = Config::from_kubeconfig(&options).await;
                config.map_err(|error| Problem::usage(runtime::describe(&error)))?
            }
        };
        config.connect_timeout = Some(Duration::from_secs(5));
        let namespace = arguments
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| {
            Problem::usage(format!(
                "the kubeconfig is of no use: {}",
                runtime::describe(&error)
            ))
        })?;
        Ok(Self { client, namespace })
    }

    /// The client itself.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The definitions of a namespace.
    pub(crate) fn definitions_in(&self, namespace: &str) -> Api<ActivityDefinition> {
        Api::namespaced(self.client(), namespace)
    }

    /// The objects of one of our kinds, of a namespace or, with `None`, of all.
    pub(crate) fn objects<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client(), namespace),
            None => Api::all(self.client()),
        }
    }

    /// The event types of a namespace or, with `None`, of all.
    pub(crate) fn event_types(&self, namespace: Option<&str>) -> Api<EventType> {
        self.objects(namespace)
    }

    /// The objects of any kind in a namespace, as they were written.
    pub(crate) fn dynamic(&self, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client(), namespace, resource)
    }
}

/// Waits for the API server's answer, ten seconds at most, and says what to do about a refusal.
pub(crate) async fn ask<T>(
    asked: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(refusal(&error)),
        Err(_) => Err(Problem::unknown(format!(
            "the Kubernetes API gave no answer within {} s",
            PATIENCE.as_secs()
        ))),
    }
}

/// What the API server's refusal means to the user.
fn refusal(error: &kube::Error) -> Problem {
    let kube::Error::Api(status) = error else {
        return Problem::unknown(format!(
            "the Kubernetes API can't be reached: {}",
            runtime::describe(error)
        ));
    };
    match status.code {
        // Only a path that the server does not know has no details of an object.
        404 if status
            .details
            .as_ref()
            .is_none_or(|details| details.name.is_empty()) =>
        {
            Problem::failed(format!(
                "the API server does not know {}; apply the manifests in crds/ first",
                crds::GROUP
            ))
        }
        404 => Problem::usage(status.message.clone()),
        401 | 403 => Problem::failed(format!(
            "not allowed: {} (Kubernetes said {})",
            status.message, status.code
        )),
        500.. => Problem::unknown(format!("the Kubernetes API answered: {}", status.message)),
        _ => Problem::failed(format!("Kubernetes refused: {}", status.message)),
    }
}
