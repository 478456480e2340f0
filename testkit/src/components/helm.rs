//! Helm, built from its Go module. Only the tests of the chart need it, so it is not among the
//! components that every stack resolves.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::cache::Cache;
use super::go_module::GoModule;
use super::tool::output_of;
use super::version::Version;
use crate::progress::Progress;

const HELM: GoModule = GoModule {
    name: "helm",
    module: "helm.sh/helm/v3",
    programs: &[("helm", "helm.sh/helm/v3/cmd/helm")],
    sources: [
        ("go.mod", include_str!("../../helm/go.mod")),
        ("go.sum", include_str!("../../helm/go.sum")),
        ("tools.go", include_str!("../../helm/tools.go")),
    ],
    tags: "",
    linker: "-X helm.sh/helm/v3/internal/version.version=v3.22.0",
    c_code: false,
};

/// From this version on, a schema may be as strict as the chart's.
const OLDEST: Version = Version::new(3, 18);

/// Finds Helm: on the `PATH` when it is new enough, else in the cache, else by a build.
pub async fn helm(progress: &Progress) -> Result<PathBuf> {
    if let Some(found) = on_the_machine().await {
        return Ok(found);
    }
    HELM.resolve_one(&Cache::from_environment()?, progress)
        .await
}

async fn on_the_machine() -> Option<PathBuf> {
    let output = output_of(Path::new(HELM.name), &["version", "--short"])
        .await
        .ok()?;
    (Version::find_in(&output)? >= OLDEST).then(|| PathBuf::from(HELM.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_version_is_one_that_would_be_taken_from_the_machine() {
        let pinned = HELM.version().unwrap();
        assert!(Version::find_in(pinned) >= Some(OLDEST));
        assert!(HELM.linker.ends_with(pinned), "{}", HELM.linker);
    }
}
