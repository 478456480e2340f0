//! What programs of a node write to fixed places of a machine goes elsewhere: inside of the
//! node's mount namespace those places are others.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::link::run;

/// Folders that are there to be read, and whose changes go to the node's own folder.
const COVERED: [&str; 2] = ["/var/lib", "/var/log"];

/// What a kubelet sets for the whole machine. It finds its own copies, and may set those.
const KERNEL_SETTINGS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Covers everything; `folder` is the node's own.
pub(super) fn cover(folder: &Path) -> Result<()> {
    run("mount", &["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])?;
    for place in COVERED {
        let own = folder.join("covers").join(place.trim_start_matches('/'));
        let (upper, work) = (own.join("upper"), own.join("work"));
        for part in [&upper, &work] {
            fs::create_dir_all(part)
                .with_context(|| format!("failed to make {}", part.display()))?;
        }
        let options = format!(
            "lowerdir={place},upperdir={},workdir={}",
            upper.display(),
            work.display()
        );
        run(
            "mount",
            &["-t", "overlay", "-o", &options, "overlay", place],
        )?;
    }
    for setting in KERNEL_SETTINGS {
        let file = Path::new("/proc/sys").join(setting);
        // Not every kernel has all of them.
        let Ok(value) = fs::read(&file) else {
            continue;
        };
        let own = folder.join("covers").join(setting.replace('/', "-"));
        fs::write(&own, value).with_context(|| format!("failed to write {}", own.display()))?;
        let (own, file) = (own.display().to_string(), file.display().to_string());
        run("mount", &["--bind", &own, &file])?;
    }
    Ok(())
}
