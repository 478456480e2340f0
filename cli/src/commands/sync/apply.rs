//! Applies manifests and says of each what that did.

use kube::ResourceExt as _;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde::Serialize;

use crate::cluster::{self, Cluster};
use crate::exit::{Exit, Problem};
use crate::manifests::Manifest;
use crate::output::{self, Format};

/// What an apply did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Applied {
    Created,
    Configured,
    Unchanged,
}

impl Applied {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What became of one manifest, in the shape that `-o json` promises.
#[derive(Debug, Serialize)]
struct Line {
    /// As kubectl names it.
    object: String,
    /// created, configured, unchanged or refused.
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// How manifests are applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Apply {
    /// Only ask what would change.
    pub(crate) dry_run: bool,
    pub(crate) format: Format,
}

impl Apply {
    /// Applies every manifest. One that is refused does not stop the others.
    pub(crate) async fn all(
        self,
        cluster: &Cluster,
        manifests: &[Manifest],
    ) -> anyhow::Result<Exit> {
        let mut lines = Vec::new();
        let as_text = self.format == Format::Table;
        let suffix = if self.dry_run { " (dry run)" } else { "" };
        for manifest in manifests {
            let line = match apply(cluster, manifest, self.dry_run).await {
                Ok(applied) => Line {
                    object: manifest.to_string(),
                    result: applied.as_str(),
                    error: None,
                },
                // The others are applied all the same; each refusal is told.
                Err(problem) if problem.exit == Exit::Failed => Line {
                    object: manifest.to_string(),
                    result: "refused",
                    error: Some(problem.to_string()),
                },
                Err(problem) => return Err(problem.into()),
            };
            match &line.error {
                Some(error) => {
                    output::note(format!("error: {manifest} ({}): {error}", manifest.source));
                }
                None if as_text => output::line(format!("{manifest} {}{suffix}", line.result))?,
                None => {}
            }
            lines.push(line);
        }
        match self.format {
            Format::Json => output::json(&lines)?,
            Format::Yaml => output::yaml(&lines)?,
            Format::Table => {}
        }
        let all_applied = lines.iter().all(|line| line.error.is_none());
        Ok(if all_applied {
            Exit::Done
        } else {
            Exit::Failed
        })
    }
}

async fn apply(cluster: &Cluster, manifest: &Manifest, dry_run: bool) -> Result<Applied, Problem> {
    let namespace = manifest
        .object
        .metadata
        .namespace
        .as_deref()
        .unwrap_or(&cluster.namespace);
    let api = cluster.dynamic(namespace, &manifest.kind.resource());
    let before = cluster::ask(api.get_opt(manifest.name())).await?;
    // The folder's word counts: what somebody changed by hand is taken over.
    let parameters = PatchParams {
        dry_run,
        ..PatchParams::apply(cluster::FIELD_MANAGER)
            .force()
            .validation_strict()
    };
    let patch = Patch::Apply(&manifest.object);
    let after = cluster::ask(api.patch(manifest.name(), &parameters, &patch)).await?;
    Ok(match before {
        None => Applied::Created,
        Some(before) if says_the_same(&before, &after) => Applied::Unchanged,
        Some(_) => Applied::Configured,
    })
}

/// Whether two versions of an object say the same to their reader: who manages which field is not
/// looked at.
fn says_the_same(before: &DynamicObject, after: &DynamicObject) -> bool {
    before.data["spec"] == after.data["spec"]
        && before.labels() == after.labels()
        && before.annotations() == after.annotations()
}
