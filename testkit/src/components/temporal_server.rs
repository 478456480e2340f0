//! The full Temporal server and its schema tool, built from their Go module. Only the benchmarks
//! need them, so they are not among the components that every stack resolves.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::cache::Cache;
use super::go_module::GoModule;
use crate::progress::Progress;

const TEMPORAL_SERVER: GoModule = GoModule {
    name: "temporal-server",
    module: "go.temporal.io/server",
    programs: &[
        ("temporal-server", "go.temporal.io/server/cmd/server"),
        ("temporal-sql-tool", "go.temporal.io/server/cmd/tools/sql"),
    ],
    sources: [
        ("go.mod", include_str!("../../temporal/go.mod")),
        ("go.sum", include_str!("../../temporal/go.sum")),
        ("tools.go", include_str!("../../temporal/tools.go")),
    ],
    tags: "",
    linker: "",
    c_code: false,
};

/// Where the programs of a full Temporal server are.
#[derive(Debug, Clone)]
pub struct TemporalServerPrograms {
    /// The server.
    pub server: PathBuf,
    /// What sets up the schemas of its databases.
    pub sql_tool: PathBuf,
}

impl TemporalServerPrograms {
    /// Takes them from the cache, or builds them.
    pub async fn resolve(progress: &Progress) -> Result<Self> {
        let cache = Cache::from_environment()?;
        let programs = TEMPORAL_SERVER.resolve(&cache, progress).await?;
        let [server, sql_tool] = <[PathBuf; 2]>::try_from(programs)
            .ok()
            .context("the Temporal server has two programs")?;
        Ok(Self { server, sql_tool })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_pinned() {
        assert!(TEMPORAL_SERVER.version().is_ok());
    }
}
