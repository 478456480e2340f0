//! The temporary folder of a stack. It goes when the process that made it has ended, in whatever
//! way; what is left of a test that did not end well is its logs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};

use anyhow::{Context, Result};

/// Waits until the end of its input, which comes when its owner has closed it or has ended, and
/// clears up. The servers of a killed owner die at the same moment and may still write: so it
/// tries a few times.
const JANITOR: &str = r#"
cat > /dev/null
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    if [ -n "$(ls -A "$0/environments" 2> /dev/null)" ]; then
        rm -rf "$0/data" 2> /dev/null && exit 0
    else
        rm -rf "$0" 2> /dev/null && exit 0
    fi
    sleep 0.2
done
"#;

/// Set to anything, it keeps the logs of tests that passed too.
const KEEP_LOGS: &str = "ACTCORE_KEEP_LOGS";

/// A folder that is cleared up after its owner.
#[derive(Debug)]
pub(crate) struct StackFolder {
    path: PathBuf,
    janitor: Child,
    /// Open as long as the folder is in use.
    in_use: Option<ChildStdin>,
}

impl StackFolder {
    /// Makes one in the system's folder for temporary files.
    pub(crate) fn create() -> Result<Self> {
        let path = tempfile::Builder::new()
            .prefix("actcore-stack-")
            // Postgres may run as another user, who must be able to pass.
            .permissions(fs::Permissions::from_mode(0o711))
            .tempdir()
            .context("failed to make a temporary folder")?
            .keep();
        // In a session of its own, Ctrl-C on a terminal does not reach it.
        let mut janitor = std::process::Command::new("setsid")
            .args(["sh", "-c", JANITOR])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start `setsid`, which is part of util-linux")?;
        let in_use = janitor.stdin.take();
        Ok(Self {
            path,
            janitor,
            in_use,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Makes the folder of one test.
    pub(crate) fn environment(&self, name: &str) -> Result<EnvironmentFolder> {
        let path = self.path.join("environments").join(name);
        fs::create_dir_all(&path).with_context(|| format!("failed to make {}", path.display()))?;
        Ok(EnvironmentFolder { path })
    }
}

impl Drop for StackFolder {
    fn drop(&mut self) {
        drop(self.in_use.take());
        if let Err(error) = self.janitor.wait() {
            eprintln!(
                "testkit: {} was not cleared up: {error}",
                self.path.display()
            );
        }
    }
}

/// The folder of one test: removed when the test has passed, kept and named when it has not.
#[derive(Debug)]
pub(crate) struct EnvironmentFolder {
    path: PathBuf,
}

impl EnvironmentFolder {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a folder inside.
    pub(crate) fn make(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).with_context(|| format!("failed to make {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for EnvironmentFolder {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os(KEEP_LOGS).is_some() {
            let servers = self.path.join("../../logs");
            eprintln!(
                "testkit: the logs are kept in {}, those of the shared servers in {}",
                self.path.display(),
                fs::canonicalize(&servers).unwrap_or(servers).display()
            );
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("testkit: {} was not removed: {error}", self.path.display());
        }
    }
}
