//! What goes into which image: our programs, and the servers that a trial installation brings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{FileTree, Image, NONROOT, Start, libraries};
use crate::program::COMMAND_LINE;

/// All our programs in one file, which is each of them by its name.
pub const BUNDLE: &str = "activity-core";

/// The names by which the file is called.
const NAMES: [&str; 6] = [
    COMMAND_LINE,
    "kubectl-actcore",
    "actcore-operator",
    "actcore-worker",
    "actcore-event-router",
    "actcore-api",
];

/// Where programs lie in all images.
const PROGRAMS: &str = "/usr/local/bin";

/// Certificate authorities that programs trust, by where distributions keep them.
const TRUST: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The image of activity-core: its programs, from the folder `binaries`, no shell, nothing that runs
/// as root. A dynamic program brings its libraries.
pub fn activity_core(name: &str, binaries: &Path) -> Result<Image> {
    let mut files = base();
    let bundle = binaries.join(BUNDLE);
    anyhow::ensure!(
        bundle.is_file(),
        "{} is not built; run `cargo build --bins` with the profile and target of that folder",
        bundle.display()
    );
    add_program(&mut files, &bundle)?;
    for name in NAMES {
        files.link(&format!("{PROGRAMS}/{name}"), BUNDLE);
    }
    let authorities = TRUST.map(Path::new).into_iter().find(|file| file.is_file());
    let authorities = authorities.context(
        "no certificate authorities are on this machine (Debian package ca-certificates)",
    )?;
    files.copy(TRUST[0], authorities);
    let entrypoint = vec![format!("{PROGRAMS}/{COMMAND_LINE}")];
    let mut image = image(name, files, entrypoint);
    image.start.labels = BTreeMap::from([
        ("org.opencontainers.image.title", "activity-core"),
        (
            "org.opencontainers.image.version",
            env!("CARGO_PKG_VERSION"),
        ),
        ("org.opencontainers.image.licenses", "Apache-2.0"),
        (
            "org.opencontainers.image.source",
            env!("CARGO_PKG_REPOSITORY"),
        ),
    ])
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    Ok(image)
}

/// An image of one program and its libraries.
pub fn single_program(name: &str, program: &Path) -> Result<Image> {
    let mut files = base();
    let path = add_program(&mut files, program)?;
    Ok(image(name, files, vec![path]))
}

/// An image with `sh` and whichever of `programs` are on the `PATH`, to look around inside a
/// cluster. They are found by the names given.
pub fn tools(name: &str, programs: &[&str]) -> Result<Image> {
    let mut files = base();
    add_shell(&mut files)?;
    for program in programs {
        add_program(&mut files, &on_path(program)?)?;
    }
    Ok(image(name, files, vec!["/bin/sh".to_owned()]))
}

/// Where the script of [`postgres`] lies that sets up an empty data folder.
pub const INITIALIZE_POSTGRES: &str = "/usr/local/bin/initialize-postgres";

/// An image of Postgres from `folder`, which can be moved as a whole and has the server at
/// `program` in it.
pub fn postgres(name: &str, folder: &Path, program: &Path) -> Result<Image> {
    const HOME: &str = "/usr/local/lib/postgres";
    let mut files = base();
    // initdb starts the server through a shell.
    add_shell(&mut files)?;
    files.copy_folder(HOME, folder)?;
    for program in [program.to_owned(), program.with_file_name("initdb")] {
        let system = libraries::of(&program)?;
        for (path, source) in system {
            if !source.starts_with(folder) {
                files.program(&path, &source);
            }
        }
    }
    let bin = program
        .parent()
        .and_then(|bin| bin.strip_prefix(folder).ok())
        .context("Postgres lies outside of its folder")?;
    let bin = format!("{HOME}/{}", bin.display());
    files.program_text(INITIALIZE_POSTGRES, include_str!("initialize_postgres.sh"));
    let mut image = image(name, files, vec![format!("{bin}/postgres")]);
    image
        .start
        .environment
        .insert("PATH".to_owned(), format!("{bin}:{PROGRAMS}:/bin"));
    Ok(image)
}

fn image(name: &str, files: FileTree, entrypoint: Vec<String>) -> Image {
    let path = format!("{PROGRAMS}:/usr/bin:/bin");
    Image {
        name: name.to_owned(),
        files,
        start: Start {
            entrypoint,
            environment: BTreeMap::from([("PATH".to_owned(), path)]),
            user: NONROOT,
            labels: BTreeMap::new(),
        },
    }
}

/// What every image has: the names of its users, and a folder for temporary files.
fn base() -> FileTree {
    let mut files = FileTree::default();
    let users = format!(
        "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:{NONROOT}:{NONROOT}:nonroot:/:/sbin/nologin\n"
    );
    files.text("/etc/passwd", &users);
    files.text("/etc/group", &format!("root:x:0:\nnonroot:x:{NONROOT}:\n"));
    // Names of the cluster first, as the C library would do by itself.
    files.text("/etc/nsswitch.conf", "hosts: files dns\n");
    files.folder("/tmp", 0o1777);
    files
}

fn add_program(files: &mut FileTree, program: &Path) -> Result<String> {
    let name = program
        .file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("{} has no readable name", program.display()))?;
    let path = format!("{PROGRAMS}/{name}");
    files.program(&path, program);
    libraries::add(files, program)?;
    Ok(path)
}

fn add_shell(files: &mut FileTree) -> Result<()> {
    let shell = std::fs::canonicalize("/bin/sh").context("there is no /bin/sh")?;
    files.program("/bin/sh", &shell);
    libraries::add(files, &shell)
}

fn on_path(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .with_context(|| format!("{program} is not on the PATH"))
}
