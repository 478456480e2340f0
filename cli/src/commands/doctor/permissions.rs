//! What the user may do with our kinds, asked of the API server itself.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use super::{Finding, checks};
use crate::cluster::{self, Cluster};
use crate::exit::Problem;

const PERMISSIONS: &str = "Kubernetes permissions";

/// Without these only a part of the commands is of use.
const WISHES: [(&str, &str); 6] = [
    ("get", "activitydefinitions"),
    ("list", "activitydefinitions"),
    ("create", "activitydefinitions"),
    ("patch", "activitydefinitions"),
    ("patch", "eventtypes"),
    ("patch", "maintenancewindows"),
];

/// Whether the user may do in the namespace what the commands need.
pub(super) async fn check(cluster: &Cluster) -> Finding {
    let mut refused = Vec::new();
    for (verb, resource) in WISHES {
        match may(cluster, verb, resource).await {
            Ok(true) => {}
            Ok(false) => refused.push(format!("{verb} {resource}")),
            Err(problem) => return checks::finding(PERMISSIONS, &problem),
        }
    }
    let namespace = &cluster.namespace;
    if refused.is_empty() {
        return Finding::ok(
            PERMISSIONS,
            format!("you may read and write our kinds in namespace {namespace}"),
        );
    }
    let refused = refused.join(", ");
    Finding::failed(
        PERMISSIONS,
        format!("in namespace {namespace} you may not {refused}"),
    )
    .advise("ask for a Role with these verbs, or use --context; without them use API_URL")
}

async fn may(cluster: &Cluster, verb: &str, resource: &str) -> Result<bool, Problem> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(crds::GROUP.to_owned()),
                namespace: Some(cluster.namespace.clone()),
                resource: Some(resource.to_owned()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(cluster.client());
    let parameters = PostParams::default();
    let answer = cluster::ask(reviews.create(&parameters, &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
