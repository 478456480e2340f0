//! The images of the journey: ours, and the servers of a trial installation.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use testkit::components::{Component, Components};
use testkit::image::{Archive, Image, contents};
use testkit::progress::Progress;

/// Names the folder of the programs that go into our image; by default the debug build.
const BINARIES: &str = "ACTCORE_E2E_BIN_DIR";

const OUR_NAME: &str = "docker.io/library/activity-core";
/// The chart's own version, as `helm install` takes it without being told.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What the upgrade goes to: the same programs under another name.
pub(crate) const NEXT_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-next");

/// Puts all images together.
pub(crate) async fn make(
    components: &Components,
    folder: &Path,
    progress: &Progress,
) -> Result<Vec<Archive>> {
    let postgres = Components::prebuilt(Component::Postgres, progress).await?;
    let nats = components.program(Component::NatsServer)?;
    let temporal = components.program(Component::Temporal)?;
    let folder = folder.to_owned();
    let making = tokio::task::spawn_blocking(move || {
        let programs = stripped(&folder)?;
        let mut next = contents::activity_core(&format!("{OUR_NAME}:{NEXT_VERSION}"), &programs)?;
        let version = "org.opencontainers.image.version".to_owned();
        next.start.labels.insert(version, NEXT_VERSION.to_owned());
        let images: [(&str, Image); 6] = [
            (
                "activity-core",
                contents::activity_core(&format!("{OUR_NAME}:{VERSION}"), &programs)?,
            ),
            ("activity-core-next", next),
            (
                "nats",
                contents::single_program("localhost/nats:dev", &nats)?,
            ),
            (
                "temporal",
                contents::single_program("localhost/temporal:dev", &temporal)?,
            ),
            ("postgres", postgres_image(&postgres.program)?),
            (
                "tools",
                contents::tools(
                    "localhost/tools:dev",
                    &["getent", "cat", "chmod", "id", "sleep"],
                )?,
            ),
        ];
        let write = |(file, image): (&str, Image)| image.write(&folder.join(format!("{file}.tar")));
        images.into_iter().map(write).collect()
    });
    making.await.context("making images has panicked")?
}

/// The wheel has the programs in one folder and their libraries in another beside it.
fn postgres_image(program: &Path) -> Result<Image> {
    let folder = program
        .ancestors()
        .nth(4)
        .context("Postgres does not lie where its wheel has it")?;
    contents::postgres("localhost/postgres:dev", folder, program)
}

/// A copy of our programs without debug information, which is most of a debug build.
fn stripped(folder: &Path) -> Result<PathBuf> {
    let source = match std::env::var_os(BINARIES) {
        Some(folder) => PathBuf::from(folder),
        None => testkit::binaries()?,
    };
    let target = folder.join("programs");
    std::fs::create_dir_all(&target).context("failed to make a folder for the programs")?;
    let (from, to) = (source.join(contents::BUNDLE), target.join(contents::BUNDLE));
    anyhow::ensure!(
        from.is_file(),
        "{} is not built; run `make build`",
        from.display()
    );
    let status = Command::new("strip").arg("-o").arg(&to).arg(&from).status();
    // Without the tool the image is larger, and as good.
    if !status.is_ok_and(|status| status.success()) {
        std::fs::copy(&from, &to).with_context(|| format!("failed to copy {}", from.display()))?;
    }
    Ok(target)
}
