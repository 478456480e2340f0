//! The shared libraries that a program needs, with the loader, as `ldd` finds them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::FileTree;

/// Adds what `program`, a file of this machine, needs to be started, at the paths where its loader
/// looks. A static program needs nothing.
pub(super) fn add(files: &mut FileTree, program: &Path) -> Result<()> {
    for (path, source) in of(program)? {
        files.program(&path, &source);
    }
    Ok(())
}

/// The path in the image, and the file on this machine, of each library that `program` needs.
pub(super) fn of(program: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("failed to run `ldd`, which is part of the C library (Debian package libc-bin)")?;
    // It fails for static programs, and then says so.
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text)
        .with_context(|| format!("the libraries of {} are not all there", program.display()))
}

/// Path in the image and file on this machine of each library in the output of `ldd`.
fn parse(output: &str) -> Result<BTreeMap<String, PathBuf>> {
    let mut libraries = BTreeMap::new();
    for line in output.lines() {
        let line = line.trim();
        anyhow::ensure!(!line.contains("not found"), "{line}");
        let path = match line.split_once("=>") {
            Some((_, found)) => found.trim(),
            None => line,
        };
        // The kernel's own library has an address only, `linux-vdso.so.1 (0x…)`.
        let Some((path, _)) = path.rsplit_once(" (0x") else {
            continue;
        };
        if path.starts_with('/') {
            libraries.insert(path.to_owned(), PathBuf::from(path));
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_found_and_the_kernels_is_left_out() {
        let output = "\tlinux-vdso.so.1 (0x00007f5d27c4d000)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f5d22d3e000)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f5d27c4f000)\n";
        let paths: Vec<String> = parse(output).unwrap().into_keys().collect();
        assert_eq!(
            paths,
            [
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
        assert!(parse("\tstatically linked\n").unwrap().is_empty());
    }

    #[test]
    fn a_missing_library_is_named() {
        let error = parse("\tlibpq.so.5 => not found\n").unwrap_err();
        assert!(error.to_string().contains("libpq.so.5"), "{error}");
    }
}
