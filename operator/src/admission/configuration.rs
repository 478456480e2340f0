//! The webhook's registration with the API server.

use anyhow::Context as _;
use contracts::names::FIELD_MANAGER;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, RuleWithOperations, ServiceReference, ValidatingWebhook,
    ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};

use crate::Arguments;

/// Where the webhook listens.
pub(super) const PATH: &str = "/validate";

/// How the API server reaches the webhook, and for which namespaces.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    service: String,
    namespace: String,
    url: Option<url::Url>,
    watched: Option<String>,
}

impl Target {
    /// The target that the settings name.
    pub(crate) fn new(arguments: &Arguments) -> Self {
        Self {
            service: arguments.webhook_service.clone(),
            namespace: arguments.pod_namespace.clone(),
            url: arguments.webhook_url.clone(),
            watched: arguments.watch_namespace.clone(),
        }
    }

    /// The names that the certificate must be good for.
    pub(super) fn host_names(&self) -> Vec<String> {
        let service = format!("{}.{}.svc", self.service, self.namespace);
        let host = self.url.as_ref().and_then(url::Url::host_str);
        host.map(str::to_owned)
            .into_iter()
            .chain([service])
            .collect()
    }

    /// One registration for the cluster, or one for each namespace that has its own operator.
    fn name(&self) -> String {
        match &self.watched {
            Some(namespace) => format!("activity-core-{namespace}"),
            None => "activity-core".to_owned(),
        }
    }

    fn client_config(&self, authorities: &str) -> WebhookClientConfig {
        let url = self
            .url
            .as_ref()
            .map(|url| format!("{}{PATH}", url.as_str().trim_end_matches('/')));
        let service = url.is_none().then(|| ServiceReference {
            name: self.service.clone(),
            namespace: self.namespace.clone(),
            path: Some(PATH.to_owned()),
            port: Some(443),
        });
        WebhookClientConfig {
            ca_bundle: Some(ByteString(authorities.as_bytes().to_vec())),
            service,
            url,
        }
    }

    fn configuration(&self, authorities: &str) -> ValidatingWebhookConfiguration {
        let texts = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());
        let webhook = ValidatingWebhook {
            name: "validate.activity-core.io".to_owned(),
            admission_review_versions: vec!["v1".to_owned()],
            client_config: self.client_config(authorities),
            // An operator that is down must not keep anybody from applying.
            failure_policy: Some("Ignore".to_owned()),
            match_policy: Some("Equivalent".to_owned()),
            side_effects: "None".to_owned(),
            timeout_seconds: Some(5),
            namespace_selector: self.watched.as_ref().map(|namespace| LabelSelector {
                match_labels: Some(
                    [("kubernetes.io/metadata.name".to_owned(), namespace.clone())].into(),
                ),
                ..LabelSelector::default()
            }),
            // Finalizers, labels and annotations are nothing to judge, and need no call.
            match_conditions: Some(vec![MatchCondition {
                name: "spec-is-new".to_owned(),
                expression: "oldObject == null || object.spec != oldObject.spec".to_owned(),
            }]),
            rules: Some(vec![RuleWithOperations {
                api_groups: texts(&[crds::GROUP]),
                api_versions: texts(&["v1alpha1"]),
                operations: texts(&["CREATE", "UPDATE"]),
                resources: texts(&["activitydefinitions", "eventtypes", "maintenancewindows"]),
                scope: Some("Namespaced".to_owned()),
            }]),
            ..ValidatingWebhook::default()
        };
        ValidatingWebhookConfiguration {
            metadata: ObjectMeta {
                name: Some(self.name()),
                ..ObjectMeta::default()
            },
            webhooks: Some(vec![webhook]),
        }
    }
}

/// Brings the registration to what it should be. An equal one is left alone by the API server.
pub(super) async fn apply(
    client: &Client,
    target: &Target,
    authorities: &str,
) -> anyhow::Result<()> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let configuration = target.configuration(authorities);
    configurations
        .patch(
            &target.name(),
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(&configuration),
        )
        .await
        .context("unable to register the webhook")?;
    Ok(())
}
