//! etcd and the programs of Kubernetes built from their Go modules. The versions and the hashes of
//! all sources are in `kubernetes/go.mod` and `kubernetes/go.sum`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::cache::Entry;
use super::tool::output_of;
use super::{Component, Resolved, Source, Sources, Version};
use crate::process::{Command, Inherit};
use crate::progress::Step;

const GO_MOD: &str = include_str!("../../kubernetes/go.mod");
const GO_SUM: &str = include_str!("../../kubernetes/go.sum");
const TOOLS_GO: &str = include_str!("../../kubernetes/tools.go");

const ETCD_MODULE: &str = "go.etcd.io/etcd/server/v3";
const KUBERNETES_MODULE: &str = "k8s.io/kubernetes";

/// From this version on, Go fetches by itself the newer one that go.mod asks for.
const OLDEST_GO: Version = Version::new(1, 21);

/// A cold build takes a quarter of an hour on two cores.
const BUILD_TIMEOUT: Duration = Duration::from_mins(75);
const DOWNLOAD_TIMEOUT: Duration = Duration::from_mins(20);

/// What else is built when one program has to be: most of the work is the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    components: &'static [Component],
    /// Whether a program of the machine will do. On a node all must be of one version.
    or_of_machine: bool,
}

impl Wanted {
    /// For a stack of servers.
    pub(super) const STACK: Self = Self {
        components: &[
            Component::Etcd,
            Component::KubeApiserver,
            Component::KubeControllerManager,
        ],
        or_of_machine: true,
    };
    /// For a node.
    pub(super) const NODE: Self = Self {
        components: &Component::NODE,
        or_of_machine: false,
    };
}

/// One program to build.
#[derive(Debug)]
struct Target {
    component: Component,
    package: &'static str,
    entry: Entry,
}

/// Takes `component` from the cache, or builds it together with whatever else is missing.
pub(super) async fn install(
    component: Component,
    wanted: Wanted,
    sources: &Sources,
) -> Result<Resolved> {
    if let Some(resolved) = cached(component, sources)? {
        return Ok(resolved);
    }
    let _lock = sources.cache.lock("kubernetes", &sources.progress).await?;
    // Another process may have done it while we waited for the lock.
    if let Some(resolved) = cached(component, sources)? {
        return Ok(resolved);
    }
    let targets = missing(wanted, sources).await?;
    let names: Vec<&str> = targets
        .iter()
        .map(|target| target.component.program())
        .collect();
    let step = sources
        .progress
        .step(&names.join(", "), "building from the Go modules");
    require_go().await?;
    let workbench = sources.cache.workbench("kubernetes")?;
    Build {
        workbench: &workbench,
        step: &step,
        targets: &targets,
    }
    .run()
    .await?;
    fs::remove_dir_all(&workbench).context("failed to clear up after building")?;
    step.finish("built");
    cached(component, sources)?.with_context(|| format!("{component} was not built"))
}

/// The version that go.mod pins for a module.
fn pinned_version(module: &str) -> Result<&'static str> {
    GO_MOD
        .lines()
        .find_map(|line| line.trim().strip_prefix(module)?.strip_prefix(" v"))
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| format!("kubernetes/go.mod does not require {module}"))
}

fn target(component: Component, sources: &Sources) -> Result<Target> {
    let (package, module) = match component {
        Component::Etcd => (ETCD_MODULE, ETCD_MODULE),
        Component::KubeApiserver => ("k8s.io/kubernetes/cmd/kube-apiserver", KUBERNETES_MODULE),
        Component::KubeControllerManager => (
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            KUBERNETES_MODULE,
        ),
        Component::KubeScheduler => ("k8s.io/kubernetes/cmd/kube-scheduler", KUBERNETES_MODULE),
        Component::KubeProxy => ("k8s.io/kubernetes/cmd/kube-proxy", KUBERNETES_MODULE),
        Component::Kubelet => ("k8s.io/kubernetes/cmd/kubelet", KUBERNETES_MODULE),
        _ => anyhow::bail!("{component} is not built from a Go module"),
    };
    let version = pinned_version(module)?;
    let entry = sources
        .cache
        .entry(component.program(), version, sources.platform);
    Ok(Target {
        component,
        package,
        entry,
    })
}

fn cached(component: Component, sources: &Sources) -> Result<Option<Resolved>> {
    let target = target(component, sources)?;
    let Some(program) = target.entry.find(component.program()) else {
        return Ok(None);
    };
    let module = if component == Component::Etcd {
        ETCD_MODULE
    } else {
        KUBERNETES_MODULE
    };
    let version = Version::find_in(pinned_version(module)?)
        .context("kubernetes/go.mod pins something that is no version")?;
    Ok(Some(Resolved {
        component,
        program,
        version,
        source: Source::Built,
    }))
}

/// Which of them are neither in the cache nor, if that will do, on the machine.
async fn missing(wanted: Wanted, sources: &Sources) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for &component in wanted.components {
        let target = target(component, sources)?;
        let there = target.entry.find(component.program()).is_some()
            || (wanted.or_of_machine && sources.machine.newest_enough(component).await.is_some());
        if !there {
            targets.push(target);
        }
    }
    Ok(targets)
}

pub(super) async fn require_go() -> Result<()> {
    let remedy = "install Go 1.26 or newer and put `go` on the PATH; or put the program itself \
                  there (etcd and kube-apiserver are also looked for in KUBEBUILDER_ASSETS)";
    let output = output_of(Path::new("go"), &["version"])
        .await
        .map_err(|error| {
            anyhow::anyhow!("Go is missing, by which it is built; {remedy} ({error:#})")
        })?;
    let version = Version::find_in(&output).unwrap_or(Version::new(0, 0));
    anyhow::ensure!(
        version >= OLDEST_GO,
        "Go {version} is too old to build it; {remedy}"
    );
    Ok(())
}

/// One run of the Go tool.
struct Build<'a> {
    workbench: &'a Path,
    step: &'a Step,
    targets: &'a [Target],
}

impl Build<'_> {
    async fn run(&self) -> Result<()> {
        write_sources(self.workbench)?;
        let packages = self.list_packages().await?;
        self.compile(packages).await?;
        self.targets
            .iter()
            .try_for_each(|target| self.hand_over(target))
    }

    /// Fetches the modules and counts the packages that the programs consist of.
    async fn list_packages(&self) -> Result<usize> {
        let list = self.workbench.join("packages.log");
        let command = self.go("go list", &list).arguments(["list", "-deps"]);
        let command = command.arguments(self.packages());
        let fetched = || {
            let modules = lines_with(&list, "go: downloading").len();
            format!("fetching the sources: {modules} modules so far")
        };
        self.step
            .follow(command.run(DOWNLOAD_TIMEOUT), fetched)
            .await?;
        Ok(lines_with(&list, "").len())
    }

    async fn compile(&self, packages: usize) -> Result<()> {
        let log = self.workbench.join("build.log");
        let kubernetes = pinned_version(KUBERNETES_MODULE)?;
        let binaries = self.workbench.join("bin");
        fs::create_dir_all(&binaries).context("failed to make the folder of the binaries")?;
        let command = self
            .go("go build", &log)
            .arguments([
                "build",
                "-v",
                "-trimpath",
                "-ldflags",
                &linker_flags(kubernetes)?,
                "-o",
            ])
            .arguments([binaries.display().to_string()])
            .arguments(self.packages());
        let compiled = || {
            let done = lines_with(&log, "").len();
            format!("compiling package {done} of at most {packages}")
        };
        self.step.follow(command.run(BUILD_TIMEOUT), compiled).await
    }

    /// Puts one built program into its place in the cache.
    fn hand_over(&self, target: &Target) -> Result<()> {
        let program = target.component.program();
        let finished = self.workbench.join(format!("finished-{program}"));
        fs::create_dir_all(&finished).context("failed to make a folder for a program")?;
        // Go names a program after its package's folder, and that of etcd is called `server`.
        let built_as = if target.component == Component::Etcd {
            "server"
        } else {
            program
        };
        let built = self.workbench.join("bin").join(built_as);
        fs::rename(&built, finished.join(program))
            .with_context(|| format!("the build has not left {}", built.display()))?;
        target.entry.take(&finished, program)?;
        Ok(())
    }

    fn go(&self, name: &str, log: &Path) -> Command {
        go_command(name, self.workbench, log)
    }

    fn packages(&self) -> impl Iterator<Item = &'static str> {
        self.targets.iter().map(|target| target.package)
    }
}

/// The Go tool at work in `folder`, with the least claim to the processors.
pub(super) fn go_command(name: &str, folder: &Path, log: &Path) -> Command {
    let mut command = Command::new(name, "nice", log).arguments(["-n", "19", "go"]);
    command.inherit = Inherit::All;
    command.directory = Some(folder.to_owned());
    // The checkout may lie inside a Go workspace of its owner.
    command
        .environment
        .push(("GOWORK".to_owned(), "off".to_owned()));
    command
}

/// Where the sources of Kubernetes are, after fetching them if need be; `workbench` is a folder to
/// work in.
pub(super) async fn kubernetes_folder(workbench: &Path) -> Result<PathBuf> {
    require_go().await?;
    write_sources(workbench)?;
    let log = workbench.join("fetch.log");
    go_command("go mod download", workbench, &log)
        .arguments(["mod", "download", KUBERNETES_MODULE])
        .run(DOWNLOAD_TIMEOUT)
        .await?;
    let modules = output_of(Path::new("go"), &["env", "GOMODCACHE"]).await?;
    let version = pinned_version(KUBERNETES_MODULE)?;
    Ok(Path::new(modules.trim()).join(format!("{KUBERNETES_MODULE}@v{version}")))
}

fn write_sources(folder: &Path) -> Result<()> {
    for (name, content) in [
        ("go.mod", GO_MOD),
        ("go.sum", GO_SUM),
        ("tools.go", TOOLS_GO),
    ] {
        fs::write(folder.join(name), content).with_context(|| format!("failed to write {name}"))?;
    }
    Ok(())
}

/// Strips debug information and says which version of Kubernetes this is; without it the
/// programs call themselves v0.0.0.
fn linker_flags(kubernetes: &str) -> Result<String> {
    let mut parts = kubernetes.split('.');
    let (Some(major), Some(minor)) = (parts.next(), parts.next()) else {
        anyhow::bail!("kubernetes/go.mod pins Kubernetes {kubernetes}, which is no version");
    };
    let variable = "k8s.io/component-base/version";
    Ok(format!(
        "-s -w -X {variable}.gitVersion=v{kubernetes} -X {variable}.gitMajor={major} \
         -X {variable}.gitMinor={minor}"
    ))
}

/// The distinct lines of a log that contain `text`; an unreadable log has none.
fn lines_with(log: &Path, text: &str) -> BTreeSet<String> {
    let content = fs::read_to_string(log).unwrap_or_default();
    content
        .lines()
        .filter(|line| line.contains(text))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pins_of_go_mod_are_found() {
        let kubernetes = pinned_version(KUBERNETES_MODULE).unwrap();
        assert!(Version::find_in(kubernetes) >= Some(Component::KubeApiserver.minimum()));
        let etcd = pinned_version(ETCD_MODULE).unwrap();
        assert!(Version::find_in(etcd) >= Some(Component::Etcd.minimum()));
    }

    #[test]
    fn the_programs_are_told_their_version() {
        let flags = linker_flags("1.36.3").unwrap();
        assert!(flags.contains("gitVersion=v1.36.3"), "{flags}");
        assert!(flags.contains("gitMajor=1 "), "{flags}");
        assert!(flags.ends_with("gitMinor=36"), "{flags}");
    }
}
