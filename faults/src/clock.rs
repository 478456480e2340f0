//! The wall clock of a program, put forward and back while it runs: libfaketime, which is loaded
//! before the C library, adds what a file says to every answer. The monotonic clock, by which
//! programs wait, goes on as ever.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use testkit::Program;

/// The file in which the library is looked for, in the folder of each architecture.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The variables by which a program of the environment in `folder` has such a clock.
pub(crate) fn variables(folder: &Path, program: Program) -> Result<Vec<(&'static str, String)>> {
    set(folder, program, 0)?;
    Ok(vec![
        ("LD_PRELOAD", library()?.display().to_string()),
        (
            "FAKETIME_TIMESTAMP_FILE",
            file(folder, program).display().to_string(),
        ),
        // How long it does not look into the file again, in seconds.
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ])
}

/// Puts the clock of a program so many seconds ahead of the true time.
pub(crate) fn set(folder: &Path, program: Program, seconds: i64) -> Result<()> {
    let file = file(folder, program);
    // In one step: half of a number would be another time.
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{seconds:+}"))
        .and_then(|()| std::fs::rename(&new, &file))
        .with_context(|| format!("failed to write {}", file.display()))
}

/// Makes sure that a process has such a clock: one that was linked in another way would go on
/// with the true time, and prove nothing.
pub(crate) fn prove(pid: u32) -> Result<()> {
    let loaded = std::fs::read_to_string(format!("/proc/{pid}/maps"))
        .context("failed to read what a program has loaded")?;
    anyhow::ensure!(
        loaded.contains(LIBRARY),
        "process {pid} has not loaded {LIBRARY}: is it linked to the C library statically?"
    );
    Ok(())
}

fn file(folder: &Path, program: Program) -> PathBuf {
    folder.join(format!("clock-{program}"))
}

fn library() -> Result<PathBuf> {
    let libraries = std::fs::read_dir("/usr/lib").context("failed to read /usr/lib")?;
    libraries
        .flatten()
        .map(|folder| folder.path().join(LIBRARY))
        .find(|library| library.exists())
        .context(
            "clocks are put forward and back by libfaketime, which is not installed; install \
                  the package libfaketime",
        )
}
