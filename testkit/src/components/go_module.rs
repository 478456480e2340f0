//! Programs of a Go module of its own, taken from the cache or built. What is built from the
//! Kubernetes module is the business of [`super::go_build`].

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::cache::Cache;
use super::go_build::{go_command, require_go};
use super::platform::Platform;
use crate::progress::Progress;

/// A cold build of the largest takes some eleven minutes of one processor.
const BUILD_TIMEOUT: Duration = Duration::from_hours(1);

/// The pinned programs of one module.
#[derive(Debug)]
pub(super) struct GoModule {
    /// Its name in the cache.
    pub(super) name: &'static str,
    /// The module whose version is pinned.
    pub(super) module: &'static str,
    /// Each program with its package; there is at least one.
    pub(super) programs: &'static [(&'static str, &'static str)],
    /// `go.mod`, `go.sum` and `tools.go`.
    pub(super) sources: [(&'static str, &'static str); 3],
    /// Build tags, separated by commas.
    pub(super) tags: &'static str,
    /// Flags of the linker, beside those that strip debug information.
    pub(super) linker: &'static str,
    /// Whether C code belongs to it; without, the programs are static.
    pub(super) c_code: bool,
}

/// What starts containers. Debian's is too old for new kernels.
pub(super) const RUNC: GoModule = GoModule {
    name: "runc",
    module: "github.com/opencontainers/runc",
    programs: &[("runc", "github.com/opencontainers/runc")],
    sources: [
        ("go.mod", include_str!("../../runc/go.mod")),
        ("go.sum", include_str!("../../runc/go.sum")),
        ("tools.go", include_str!("../../runc/tools.go")),
    ],
    tags: "seccomp,urfave_cli_no_docs",
    linker: "-X main.version=1.5.2",
    c_code: true,
};

/// The name server of a cluster.
pub(super) const COREDNS: GoModule = GoModule {
    name: "coredns",
    module: "github.com/coredns/coredns",
    programs: &[("coredns", "github.com/coredns/coredns")],
    sources: [
        ("go.mod", include_str!("../../coredns/go.mod")),
        ("go.sum", include_str!("../../coredns/go.sum")),
        ("tools.go", include_str!("../../coredns/tools.go")),
    ],
    tags: "",
    linker: "",
    c_code: false,
};

impl GoModule {
    /// Takes them from the cache, or builds them; the paths in the order of `programs`.
    pub(super) async fn resolve(&self, cache: &Cache, progress: &Progress) -> Result<Vec<PathBuf>> {
        let entry = cache.entry(self.name, self.version()?, Platform::current()?);
        let find = || -> Option<Vec<PathBuf>> {
            let programs = self.programs.iter();
            programs.map(|(program, _)| entry.find(program)).collect()
        };
        if let Some(found) = find() {
            return Ok(found);
        }
        let _lock = cache.lock(self.name, progress).await?;
        // Another process may have done it while we waited for the lock.
        if let Some(found) = find() {
            return Ok(found);
        }
        require_go().await?;
        let step = progress.step(self.name, "building from the Go module");
        let workbench = cache.workbench(self.name)?;
        for (name, content) in self.sources {
            fs::write(workbench.join(name), content)
                .with_context(|| format!("failed to write {name}"))?;
        }
        let finished = workbench.join("finished");
        fs::create_dir_all(&finished).context("failed to make a folder for the programs")?;
        for (program, package) in self.programs {
            let output = finished.join(program).display().to_string();
            let compiling = || format!("compiling {program}");
            step.follow(self.build(&workbench, package, output), compiling)
                .await
                .with_context(|| self.remedy())?;
        }
        let (first, _) = self.programs.first().context("the module has no program")?;
        entry.take(&finished, first)?;
        fs::remove_dir_all(&workbench).context("failed to clear up after building")?;
        step.finish("built");
        find().with_context(|| format!("{} was not built", self.name))
    }

    /// Takes the module's one program from the cache, or builds it.
    pub(super) async fn resolve_one(&self, cache: &Cache, progress: &Progress) -> Result<PathBuf> {
        let programs = self.resolve(cache, progress).await?;
        let first = programs.into_iter().next();
        first.with_context(|| format!("{} has no program", self.name))
    }

    async fn build(&self, workbench: &Path, package: &str, output: String) -> Result<()> {
        let linker = format!("-s -w {}", self.linker);
        let mut command = go_command("go build", workbench, &workbench.join("build.log"))
            .arguments(["build", "-trimpath", "-tags", self.tags, "-ldflags"])
            .arguments([&linker, "-o", &output, package]);
        let c_code = if self.c_code { "1" } else { "0" };
        command
            .environment
            .push(("CGO_ENABLED".to_owned(), c_code.to_owned()));
        command.run(BUILD_TIMEOUT).await
    }

    fn remedy(&self) -> String {
        let needed = if self.c_code {
            "; it needs a C compiler, pkg-config and libseccomp's headers (Debian packages gcc, \
             libc6-dev, pkg-config, libseccomp-dev)"
        } else {
            ""
        };
        format!("failed to build {}{needed}", self.name)
    }

    /// The version that go.mod pins.
    pub(super) fn version(&self) -> Result<&'static str> {
        self.sources[0]
            .1
            .lines()
            .find_map(|line| {
                let required = line.trim().strip_prefix("require ")?;
                required.strip_prefix(self.module)?.strip_prefix(" v")
            })
            .and_then(|rest| rest.split_whitespace().next())
            .with_context(|| format!("go.mod does not require {}", self.module))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Version;
    use super::*;

    #[test]
    fn the_pins_are_found_and_runc_is_told_its_own() {
        let runc = RUNC.version().unwrap();
        assert!(Version::find_in(runc) >= Some(Version::new(1, 3)));
        assert!(RUNC.linker.ends_with(runc), "{}", RUNC.linker);
        let coredns = COREDNS.version().unwrap();
        assert!(Version::find_in(coredns) >= Some(Version::new(1, 14)));
    }
}
