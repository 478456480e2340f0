//! CoreDNS, by which pods find Services.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use serde::Deserialize as _;

use crate::wait::{self, Seen};

/// The image of the name server.
pub(super) const NAME_SERVER_IMAGE: &str = "localhost/coredns:1";

const MANIFEST: &str = include_str!("name_server.yaml");
const FIELD_MANAGER: &str = "testkit";
const READY_TIMEOUT: Duration = Duration::from_mins(3);

/// Applies it and waits until it answers.
pub(super) async fn install(client: &kube::Client) -> Result<()> {
    for document in serde_norway::Deserializer::from_str(MANIFEST) {
        let object = DynamicObject::deserialize(document).context("a manifest is not readable")?;
        apply(client, object).await?;
    }
    let api: Api<Deployment> = Api::namespaced(client.clone(), "kube-system");
    wait::until("the name server to answer", READY_TIMEOUT, async || {
        let status = api.get("coredns").await?.status.unwrap_or_default();
        Ok::<_, kube::Error>(match status.available_replicas {
            Some(1..) => Seen::Done(()),
            _ => Seen::not_yet(format!("{status:?}")),
        })
    })
    .await?;
    Ok(())
}

async fn apply(client: &kube::Client, object: DynamicObject) -> Result<()> {
    let types: TypeMeta = object.types.clone().context("an object has no kind")?;
    let kind = GroupVersionKind::try_from(&types).context("an object has no readable kind")?;
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = match object.metadata.namespace.as_deref() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = object
        .metadata
        .name
        .clone()
        .context("an object has no name")?;
    api.patch(
        &name,
        &PatchParams::apply(FIELD_MANAGER).force(),
        &Patch::Apply(&object),
    )
    .await
    .with_context(|| format!("failed to apply {} {name}", types.kind))?;
    Ok(())
}
