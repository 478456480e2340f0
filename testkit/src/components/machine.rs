//! What is already on the machine: `KUBEBUILDER_ASSETS`, the PATH, and the folders where
//! distributions put Postgres.

use std::env;
use std::path::{Path, PathBuf};

use super::tool::output_of;
use super::{Component, Resolved, Source, Version};

/// Set to anything, it makes testkit act as if nothing were on the machine.
const IGNORE_MACHINE: &str = "ACTCORE_IGNORE_MACHINE";
/// The folder in which `setup-envtest` puts etcd, kube-apiserver and kubectl.
const KUBEBUILDER_ASSETS: &str = "KUBEBUILDER_ASSETS";
/// Where Debian keeps its Postgres versions, each with a folder `bin`.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// Folders to look into, best first.
#[derive(Debug, Default)]
pub(super) struct Machine {
    /// For the three programs that envtest ships.
    assets: Option<PathBuf>,
    /// For every component.
    path: Vec<PathBuf>,
    /// For Postgres, after the PATH.
    postgres: Vec<PathBuf>,
}

impl Machine {
    /// As the environment describes it.
    pub(super) fn from_environment() -> Self {
        if env::var_os(IGNORE_MACHINE).is_some_and(|value| !value.is_empty()) {
            return Self::default();
        }
        let path = env::var_os("PATH").unwrap_or_default();
        Self {
            assets: env::var_os(KUBEBUILDER_ASSETS).map(PathBuf::from),
            path: env::split_paths(&path).collect(),
            postgres: debian_postgres(),
        }
    }

    /// The files that could be `component`, best first.
    fn candidates(&self, component: Component) -> Vec<PathBuf> {
        let in_assets = matches!(
            component,
            Component::Etcd | Component::KubeApiserver | Component::Kubectl
        );
        let of_postgres = component == Component::Postgres;
        let mut candidates: Vec<PathBuf> = Vec::new();
        let assets = self.assets.iter().filter(|_| in_assets);
        let postgres = self.postgres.iter().filter(|_| of_postgres);
        for folder in assets.chain(&self.path).chain(postgres) {
            let file = folder.join(component.program());
            let complete = !of_postgres || folder.join("initdb").is_file();
            if file.is_file() && complete && !candidates.contains(&file) {
                candidates.push(file);
            }
        }
        candidates
    }

    /// The first candidate that says it is new enough.
    pub(super) async fn newest_enough(&self, component: Component) -> Option<Resolved> {
        for program in self.candidates(component) {
            let Some(version) = version_of(component, &program).await else {
                continue;
            };
            if version >= component.minimum() {
                return Some(Resolved {
                    component,
                    program,
                    version,
                    source: Source::Machine,
                });
            }
        }
        None
    }
}

async fn version_of(component: Component, program: &Path) -> Option<Version> {
    let arguments: &[&str] = if component == Component::Kubectl {
        &["version", "--client"]
    } else {
        &["--version"]
    };
    // A program that cannot say its version is passed over like one that is not there.
    Version::find_in(&output_of(program, arguments).await.ok()?)
}

/// The newest first.
fn debian_postgres() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(DEBIAN_POSTGRES) else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_unstable_by(|left, right| right.cmp(left));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn program(folder: &Path, name: &str, prints: &str) -> PathBuf {
        std::fs::create_dir_all(folder).unwrap();
        let file = folder.join(name);
        std::fs::write(&file, format!("#!/bin/sh\necho '{prints}'\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    #[tokio::test]
    async fn envtest_assets_come_before_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let assets = program(&folder.path().join("assets"), "etcd", "etcd Version: 3.5.0");
        program(&folder.path().join("bin"), "etcd", "etcd Version: 3.6.0");
        let machine = Machine {
            assets: Some(folder.path().join("assets")),
            path: vec![folder.path().join("bin")],
            postgres: Vec::new(),
        };
        let found = machine.newest_enough(Component::Etcd).await.unwrap();
        assert_eq!(found.program, assets);
    }

    #[tokio::test]
    async fn a_program_that_is_too_old_or_silent_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let (old, silent, new) = (
            folder.path().join("old"),
            folder.path().join("silent"),
            folder.path().join("new"),
        );
        program(&old, "kubectl", "Client Version: v1.32.4");
        program(&silent, "kubectl", "");
        let wanted = program(&new, "kubectl", "Client Version: v1.36.0");
        let machine = Machine {
            path: vec![old.clone(), silent, new],
            ..Machine::default()
        };
        assert_eq!(
            machine
                .newest_enough(Component::Kubectl)
                .await
                .unwrap()
                .program,
            wanted
        );

        let only_old = Machine {
            path: vec![old],
            ..Machine::default()
        };
        assert!(only_old.newest_enough(Component::Kubectl).await.is_none());
    }

    #[tokio::test]
    async fn postgres_without_initdb_beside_it_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let (bare, whole) = (folder.path().join("bare"), folder.path().join("whole"));
        program(&bare, "postgres", "postgres (PostgreSQL) 17.1");
        let wanted = program(&whole, "postgres", "postgres (PostgreSQL) 15.1");
        program(&whole, "initdb", "");
        let machine = Machine {
            path: vec![bare],
            postgres: vec![whole],
            assets: None,
        };
        assert_eq!(
            machine
                .newest_enough(Component::Postgres)
                .await
                .unwrap()
                .program,
            wanted
        );
    }
}
