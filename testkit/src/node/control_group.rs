//! The control group that holds those of all pods of a node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const ROOT: &str = "/sys/fs/cgroup";

/// How much of a busy machine all pods together get, in the old form and in the new: as much as ten
/// processes, because they are as many. With the kernel's own value they would get what one gets,
/// and starve beside a compiler.
const WEIGHTS: [(&str, &str); 2] = [("cpu.shares", "10240"), ("cpu.weight", "1000")];

/// A control group below the root, in each hierarchy. The janitor removes it.
#[derive(Debug, Clone)]
pub(super) struct ControlGroup {
    name: String,
}

impl ControlGroup {
    /// Makes it. A leftover of the same name, which a killed machine may have kept, is taken.
    pub(super) fn create(name: &str) -> Result<Self> {
        for hierarchy in hierarchies()? {
            let group = hierarchy.join(name);
            fs::create_dir_all(&group)
                .with_context(|| format!("failed to make the control group {}", group.display()))?;
            inherit_processors(&hierarchy, &group)?;
            weigh(&group)?;
        }
        Ok(Self {
            name: name.to_owned(),
        })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// Gives the group its weight, where the hierarchy has one.
fn weigh(group: &Path) -> Result<()> {
    for (name, weight) in WEIGHTS {
        let file = group.join(name);
        if file.is_file() {
            fs::write(&file, weight)
                .with_context(|| format!("failed to write {}", file.display()))?;
        }
    }
    Ok(())
}

/// The folders of all hierarchies: the new form has one, the old form one for each controller.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").is_file() {
        return Ok(vec![root.to_owned()]);
    }
    let entries = fs::read_dir(root).context("this machine has no control groups")?;
    let mut hierarchies = Vec::new();
    for entry in entries {
        let folder = entry.context("failed to read the control groups")?.path();
        if folder.join("cgroup.procs").is_file() {
            hierarchies.push(folder);
        }
    }
    anyhow::ensure!(!hierarchies.is_empty(), "no control groups are mounted");
    Ok(hierarchies)
}

/// A group of the old form starts with no processor and no memory, and could run nothing.
fn inherit_processors(hierarchy: &Path, group: &Path) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (hierarchy.join(name), group.join(name));
        if from.is_file() && to.is_file() {
            let value = fs::read_to_string(&from)
                .with_context(|| format!("failed to read {}", from.display()))?;
            fs::write(&to, value).with_context(|| format!("failed to write {}", to.display()))?;
        }
    }
    Ok(())
}
