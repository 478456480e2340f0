//! The user that Postgres runs as. It refuses to run as root, so root drops to another one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::Command;

/// The first of these that exists is taken.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// Lets the other user through folders that only root may enter, such as root's home. The
/// secure bit makes access checks count the capability for a user other than root too.
const PASS_THROUGH: [&str; 6] = [
    "--securebits",
    "+no_setuid_fixup",
    "--inh-caps",
    "-all,+dac_override",
    "--ambient-caps",
    "+dac_override",
];

const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// How to become the user of Postgres.
#[derive(Debug, Clone, Default)]
pub(super) struct PostgresUser {
    /// User and group ids; `None` if we are not root and nothing needs to be done.
    ids: Option<(u32, u32)>,
    /// Arguments for `setpriv`.
    pub(super) privileges: Vec<String>,
}

impl PostgresUser {
    /// Finds the user, and what it takes for it to reach all `paths`, which exist.
    pub(super) async fn find(paths: &[&Path], log: &PathBuf) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::default());
        }
        let ids = ids_of_candidate()?;
        let (user, group) = ids;
        let mut privileges = vec![
            format!("--reuid={user}"),
            format!("--regid={group}"),
            "--clear-groups".to_owned(),
        ];
        let reaches_all = {
            let mut probe = Command::new("looking at Postgres's folders", "ls", log);
            probe = probe.arguments(["-d"]);
            probe
                .arguments
                .extend(paths.iter().map(|path| path.display().to_string()));
            probe.privileges.clone_from(&privileges);
            probe.run(PROBE_TIMEOUT).await.is_ok()
        };
        if !reaches_all {
            privileges.extend(PASS_THROUGH.map(str::to_owned));
        }
        Ok(Self {
            ids: Some(ids),
            privileges,
        })
    }

    /// Gives a folder to the user.
    pub(super) fn own(&self, folder: &Path) -> Result<()> {
        let Some((user, group)) = self.ids else {
            return Ok(());
        };
        std::os::unix::fs::chown(folder, Some(user), Some(group))
            .with_context(|| format!("failed to give {} to Postgres's user", folder.display()))
    }
}

fn ids_of_candidate() -> Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").context("failed to read /etc/passwd")?;
    CANDIDATES
        .iter()
        .find_map(|name| ids_in(&users, name))
        .context(
            "Postgres refuses to run as root, and there is neither a user `postgres` nor a user \
         `nobody` to run it as; add one, or do not run as root",
        )
}

/// User and group id of a name in the format of /etc/passwd.
fn ids_in(users: &str, name: &str) -> Option<(u32, u32)> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let user = fields.nth(1)?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        Some((user, group))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_ids_are_read_from_the_password_file() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:PostgreSQL:/var:/bin/sh\n";
        assert_eq!(ids_in(users, "postgres"), Some((101, 104)));
        assert_eq!(ids_in(users, "nobody"), None);
    }
}
