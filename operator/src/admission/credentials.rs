//! Where the webhook's certificate is kept: a Secret that all replicas share.

use std::collections::BTreeMap;

use anyhow::Context as _;
use chrono::{DateTime, SubsecRound, Utc};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};

use super::certificate::{Certificate, make};

const SECRET_NAME: &str = "actcore-operator-webhook";
const RENEW_AT_ANNOTATION: &str = "activity-core.io/renew-at";
const AUTHORITIES: &str = "ca.crt";
const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Keeps the certificate.
pub(super) struct Credentials {
    secrets: Api<Secret>,
}

impl Credentials {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
        }
    }

    /// The certificate that is to be served now: the one that is kept, or a new one when there is
    /// none or its time has come. Of several replicas that make one, the first wins.
    pub(super) async fn ensure(
        &self,
        host_names: &[String],
        now: DateTime<Utc>,
    ) -> anyhow::Result<Certificate> {
        let present = self
            .secrets
            .get_opt(SECRET_NAME)
            .await
            .context("unable to read the webhook's Secret")?;
        let kept = present.as_ref().and_then(read);
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.renew_at) {
            return Ok(kept.clone());
        }
        let previous = kept.as_ref().map(|kept| kept.authorities.as_str());
        let made = make(host_names, previous, now.trunc_subsecs(0))
            .context("unable to make the webhook's certificate")?;
        self.keep(present.as_ref(), &made).await
    }

    async fn keep(
        &self,
        present: Option<&Secret>,
        certificate: &Certificate,
    ) -> anyhow::Result<Certificate> {
        let secret = secret(present, certificate);
        let post = PostParams::default();
        let written = match present {
            // With its resource version, so that another replica's is not overwritten.
            Some(_) => self.secrets.replace(SECRET_NAME, &post, &secret).await,
            None => self.secrets.create(&post, &secret).await,
        };
        match written {
            Ok(_) => {
                tracing::info!(renew_at = %certificate.renew_at, "made a certificate for the webhook");
                Ok(certificate.clone())
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let theirs = self.secrets.get(SECRET_NAME).await?;
                read(&theirs).context("the webhook's Secret is not one of ours; remove it")
            }
            Err(error) => Err(error).context("unable to keep the webhook's certificate"),
        }
    }
}

fn secret(present: Option<&Secret>, certificate: &Certificate) -> Secret {
    let data = [
        (AUTHORITIES, &certificate.authorities),
        (CHAIN, &certificate.chain),
        (KEY, &certificate.key),
    ];
    // What is there is filled and nothing else of it is changed: the chart makes it, empty, with
    // labels of its own, and the type of a Secret can't be changed.
    let mut metadata = present.map_or_else(
        || ObjectMeta {
            name: Some(SECRET_NAME.to_owned()),
            ..ObjectMeta::default()
        },
        |present| present.metadata.clone(),
    );
    metadata.managed_fields = None;
    metadata.annotations.get_or_insert_default().insert(
        RENEW_AT_ANNOTATION.to_owned(),
        contracts::workflow::format_time(certificate.renew_at),
    );
    Secret {
        metadata,
        type_: present.map_or_else(
            || Some("kubernetes.io/tls".to_owned()),
            |present| present.type_.clone(),
        ),
        data: Some(
            data.into_iter()
                .map(|(name, text)| (name.to_owned(), ByteString(text.clone().into_bytes())))
                .collect(),
        ),
        ..Secret::default()
    }
}

/// The certificate in a Secret; `None` when it is not complete.
fn read(secret: &Secret) -> Option<Certificate> {
    let data: &BTreeMap<String, ByteString> = secret.data.as_ref()?;
    let text = |name: &str| String::from_utf8(data.get(name)?.0.clone()).ok();
    Some(Certificate {
        authorities: text(AUTHORITIES)?,
        chain: text(CHAIN)?,
        key: text(KEY)?,
        renew_at: secret
            .annotations()
            .get(RENEW_AT_ANNOTATION)?
            .parse()
            .ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charts_empty_secret_is_filled_and_keeps_its_labels_and_type() {
        let certificate = make(&["localhost".to_owned()], None, Utc::now()).unwrap();
        let labels = [("app.kubernetes.io/managed-by".to_owned(), "Helm".to_owned())];
        let empty = Secret {
            metadata: ObjectMeta {
                name: Some(SECRET_NAME.to_owned()),
                labels: Some(labels.into()),
                resource_version: Some("7".to_owned()),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        };
        assert_eq!(read(&empty), None);
        let filled = secret(Some(&empty), &certificate);
        assert_eq!(filled.metadata.labels, empty.metadata.labels);
        assert_eq!(filled.metadata.resource_version, Some("7".to_owned()));
        assert_eq!(filled.type_, empty.type_);
        assert_eq!(
            read(&filled).map(|kept| kept.chain),
            Some(certificate.chain)
        );
        assert_eq!(
            secret(None, &make(&[], None, Utc::now()).unwrap())
                .type_
                .as_deref(),
            Some("kubernetes.io/tls")
        );
    }
}
