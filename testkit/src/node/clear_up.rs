//! The folder of a node, and what is removed with it: see the janitor of
//! [`crate::folder`], whose way it is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};

use anyhow::{Context, Result};

use super::control_group::ControlGroup;
use super::link::Link;
use super::plan;

/// Waits until the end of its input, which comes when its owner has closed it or has ended. The
/// namespaces end at the same moment, and what was mounted in them is in use a moment longer: so
/// it tries for half a minute.
const JANITOR: &str = r#"
cat > /dev/null
folder=$1 link=$2 group=$3
for attempt in $(seq 150); do
    left=
    ip link delete "$link" 2> /dev/null
    for place in /sys/fs/cgroup /sys/fs/cgroup/*; do
        if [ -d "$place/$group" ]; then
            find "$place/$group" -depth -type d -exec rmdir {} \; 2> /dev/null
            [ -d "$place/$group" ] && left="$place/$group"
        fi
    done
    if [ -e "$folder/keep" ]; then
        rm -rf "$folder/data" "$folder/images" 2> /dev/null
        [ -e "$folder/data" ] && left="$folder/data"
    else
        rm -rf "$folder" 2> /dev/null
        [ -e "$folder" ] && left="$folder"
    fi
    [ -z "$left" ] && exit 0
    sleep 0.2
done
echo "$left is left" >&2
exit 1
"#;

/// Set to anything, it keeps the logs in any case.
const KEEP_LOGS: &str = "ACTCORE_KEEP_LOGS";

/// A folder that is cleared up, with all else of its node, after its owner.
#[derive(Debug)]
pub(super) struct NodeFolder {
    path: PathBuf,
    link: Link,
    janitor: Option<(Child, ChildStdin)>,
}

impl NodeFolder {
    /// Makes one in the system's folder for temporary files.
    pub(super) fn create(link: Link, group: ControlGroup) -> Result<Self> {
        let path = tempfile::Builder::new()
            .prefix("actcore-node-")
            .permissions(fs::Permissions::from_mode(0o711))
            .tempdir()
            .context("failed to make a temporary folder")?
            .keep();
        // In a session of its own, Ctrl-C on a terminal does not reach it.
        let mut janitor = std::process::Command::new("setsid")
            .args(["sh", "-c", JANITOR, "sh"])
            .arg(&path)
            .args([&link.name(), group.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("failed to start `setsid`, which is part of util-linux")?;
        let input = janitor.stdin.take().context("the janitor has no input")?;
        let folder = Self {
            path,
            link,
            janitor: Some((janitor, input)),
        };
        for part in [plan::data(&folder.path), plan::logs(&folder.path)] {
            fs::create_dir_all(&part)
                .with_context(|| format!("failed to make {}", part.display()))?;
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn logs(&self) -> PathBuf {
        plan::logs(&self.path)
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Whether the supervisor has said that everything is up.
    pub(super) fn is_up(&self) -> bool {
        plan::up(&self.path).exists()
    }

    /// What the supervisor said last.
    pub(super) fn last_progress(&self) -> String {
        let text = fs::read_to_string(plan::progress(&self.path)).unwrap_or_default();
        text.lines().last().unwrap_or("starting").to_owned()
    }

    /// Removes everything and says what could not be removed.
    pub(super) fn clear_up(mut self) -> Result<()> {
        self.end_janitor()
    }

    fn end_janitor(&mut self) -> Result<()> {
        let Some((mut janitor, input)) = self.janitor.take() else {
            return Ok(());
        };
        if std::thread::panicking() || std::env::var_os(KEEP_LOGS).is_some() {
            fs::write(self.path.join("keep"), "").context("failed to keep the node's logs")?;
            eprintln!(
                "testkit: the node's logs are kept in {}",
                self.logs().display()
            );
        }
        drop(input);
        let status = janitor.wait().context("failed to wait for the janitor")?;
        anyhow::ensure!(
            status.success(),
            "something of the node in {} is left",
            self.path.display()
        );
        Ok(())
    }
}

impl Drop for NodeFolder {
    fn drop(&mut self) {
        if let Err(error) = self.end_janitor() {
            eprintln!("testkit: {error:#}");
        }
    }
}
