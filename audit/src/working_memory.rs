//! The report files in the working memory, read only and within bounds.

mod bucket;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use domain::RunId;
use domain::verification::{FileEvidence, Seen};
use runtime::describe;
use runtime::storage::Storage;
use serde::Deserialize;

/// The most entries of the folder that are looked through.
const MAXIMUM_ENTRIES: usize = 200_000;

/// The most files that are opened for one question.
const MAXIMUM_FILES: usize = 1000;

/// The most bytes that are read of one file; its frontmatter must end within.
const MAXIMUM_BYTES: u64 = 64 * 1024;

/// The place that the working-memory sink writes to.
#[derive(Debug, Clone)]
pub struct WorkingMemory {
    /// An `Err` says why the place is of no use.
    storage: Seen<Storage>,
}

impl WorkingMemory {
    /// The working memory at a place as `WORKING_MEMORY_DIR` names it: a folder, or a bucket by
    /// its URL. Nothing is read yet; what is wrong with the place is said when it is looked at.
    pub fn new(place: PathBuf) -> Self {
        let storage = match place.to_str() {
            Some(text) => Storage::parse("WORKING_MEMORY_DIR", text),
            None => Ok(Storage::Folder(place)),
        };
        Self {
            storage: storage.map_err(|error| describe(&error)),
        }
    }

    /// The place in words, once it has answered; an `Err` says why it is of no use now. Of a bucket
    /// one object is asked for, whatever it is.
    pub async fn reach(&self) -> Seen<String> {
        match self.storage.clone()? {
            Storage::Bucket(bucket) => {
                bucket::reach(&bucket).await?;
                Ok(bucket.to_string())
            }
            Storage::Folder(folder) => {
                let shown = folder.display().to_string();
                let unreadable = |error: &dyn std::fmt::Display| format!("{shown}: {error}");
                tokio::task::spawn_blocking(move || folder.read_dir().map(drop))
                    .await
                    .map_err(|error| unreadable(&error))?
                    .map_err(|error| unreadable(&error))?;
                Ok(shown)
            }
        }
    }

    /// The report files `<prefix>-<date>-*.md`, each with the run in its frontmatter; only the one
    /// that has the run's name, where it is `run`'s. At most a thousand are opened, of a bucket a
    /// hundred.
    pub async fn reports(
        &self,
        prefix: &str,
        date: NaiveDate,
        run: RunId,
    ) -> Seen<Vec<FileEvidence>> {
        let beginning = format!("{prefix}-{date}-");
        match self.storage.clone()? {
            Storage::Bucket(bucket) => bucket::look(&bucket, &beginning, run).await,
            Storage::Folder(folder) => {
                let looked =
                    tokio::task::spawn_blocking(move || look(&folder, &beginning, run)).await;
                looked.map_err(|error| {
                    format!("the look into the working memory broke off: {error}")
                })?
            }
        }
    }
}

fn look(folder: &Path, beginning: &str, run: RunId) -> Seen<Vec<FileEvidence>> {
    // The folder grows for ever, so it is looked through only for what is not where it should be.
    let name = format!("{beginning}{run}.md");
    if let Ok(Some(run_id)) = run_in(&folder.join(&name))
        && run_id == run
    {
        let run_id = Some(run_id);
        return Ok(vec![FileEvidence { name, run_id }]);
    }
    let mut names = report_names(folder, beginning)?;
    let too_many = names.len() > MAXIMUM_FILES;
    names.truncate(MAXIMUM_FILES);
    let mut files = Vec::new();
    let mut unreadable = None;
    for name in names {
        match run_in(&folder.join(&name)) {
            Ok(run_id) => files.push(FileEvidence { name, run_id }),
            Err(error) => unreadable = Some(format!("{name} can't be read: {error}")),
        }
    }
    if files.iter().any(|file| file.run_id == Some(run)) {
        return Ok(files);
    }
    // The run's report may be the one that could not be opened.
    if too_many {
        unreadable = Some(format!(
            "{} holds more than {MAXIMUM_FILES} files {beginning}*.md; not all were opened",
            folder.display()
        ));
    }
    unreadable.map_or(Ok(files), Err)
}

fn report_names(folder: &Path, beginning: &str) -> Seen<Vec<String>> {
    let unreadable = |error: io::Error| format!("{}: {error}", folder.display());
    let mut names = Vec::new();
    for (number, entry) in folder.read_dir().map_err(unreadable)?.enumerate() {
        if number >= MAXIMUM_ENTRIES {
            return Err(format!(
                "{} has more than {MAXIMUM_ENTRIES} entries",
                folder.display()
            ));
        }
        let Ok(name) = entry.map_err(unreadable)?.file_name().into_string() else {
            continue;
        };
        if is_report(&name, beginning) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn is_report(name: &str, beginning: &str) -> bool {
    name.strip_prefix(beginning)
        .and_then(|rest| rest.strip_suffix(".md"))
        .is_some_and(|middle| !middle.is_empty())
}

/// The run in a file's frontmatter; `None` when it has none.
fn run_in(path: &Path) -> io::Result<Option<RunId>> {
    // Only files proper: opening a pipe would wait for its writer.
    if !path.metadata()?.is_file() {
        return Ok(None);
    }
    let mut text = Vec::new();
    File::open(path)?
        .take(MAXIMUM_BYTES)
        .read_to_end(&mut text)?;
    Ok(run_in_frontmatter(&String::from_utf8_lossy(&text)))
}

#[derive(Deserialize)]
struct Frontmatter {
    activity_core_run_id: String,
}

/// The run in the YAML between the `---` of the first line and the next `---`.
fn run_in_frontmatter(text: &str) -> Option<RunId> {
    let mut lines = text.lines();
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let mut yaml = String::new();
    loop {
        let line = lines.next()?;
        if line.trim_end() == "---" {
            break;
        }
        yaml.push_str(line);
        yaml.push('\n');
    }
    let frontmatter: Frontmatter = serde_norway::from_str(&yaml).ok()?;
    frontmatter.activity_core_run_id.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f";

    fn run() -> RunId {
        RUN.parse().unwrap()
    }

    fn day() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 24).unwrap()
    }

    async fn reports_in(folder: &Path) -> Seen<Vec<FileEvidence>> {
        WorkingMemory::new(folder.to_owned())
            .reports("daily-triage", day(), run())
            .await
    }

    #[test]
    fn the_run_is_read_from_the_frontmatter_and_nowhere_else() {
        let good = format!("---\ntitle: x\nactivity_core_run_id: {RUN}\n---\n# Report\n");
        assert_eq!(run_in_frontmatter(&good), Some(run()));
        let quoted = format!("---\r\nactivity_core_run_id: \"{RUN}\"\r\n---\r\n");
        assert_eq!(run_in_frontmatter(&quoted), Some(run()));
        for without in [
            format!("activity_core_run_id: {RUN}\n"),
            format!("---\nactivity_core_run_id: {RUN}\n"),
            format!("---\ntitle: x\n---\nactivity_core_run_id: {RUN}\n"),
            "---\nactivity_core_run_id: [1]\n---\n".to_owned(),
            "---\n: : :\n---\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(run_in_frontmatter(&without), None, "{without:?}");
        }
    }

    #[tokio::test]
    async fn only_reports_of_the_prefix_and_the_day_count() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("---\nactivity_core_run_id: {RUN}\n---\n");
        for name in [
            "daily-triage-2026-11-24-again.md".to_owned(),
            format!("daily-triage-2026-11-23-{RUN}.md"),
            format!("weekly-2026-11-24-{RUN}.md"),
            format!("daily-triage-2026-11-24-{RUN}.md.tmp"),
            "daily-triage-2026-11-24-.md".to_owned(),
        ] {
            std::fs::write(folder.path().join(name), &text).unwrap();
        }
        let found = reports_in(folder.path()).await.unwrap();
        assert_eq!(
            found,
            [FileEvidence {
                name: "daily-triage-2026-11-24-again.md".to_owned(),
                run_id: Some(run())
            }]
        );
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_unknown_and_not_empty() {
        let reason = reports_in(Path::new("/no/such/folder")).await.unwrap_err();
        assert!(reason.contains("/no/such/folder"), "{reason}");
    }

    #[tokio::test]
    async fn a_report_that_cannot_be_read_is_unknown_and_not_missing() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("daily-triage-2026-11-24-{RUN}.md");
        std::os::unix::fs::symlink("nowhere", folder.path().join(&name)).unwrap();
        let reason = reports_in(folder.path()).await.unwrap_err();
        assert!(reason.contains(&name), "{reason}");
    }

    #[tokio::test]
    async fn the_run_is_found_among_more_files_than_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..=MAXIMUM_FILES {
            let name = format!("daily-triage-2026-11-24-{number}.md");
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert!(reports_in(folder.path()).await.is_err());
        let name = format!("daily-triage-2026-11-24-{RUN}.md");
        let text = format!("---\nactivity_core_run_id: {RUN}\n---\n");
        std::fs::write(folder.path().join(&name), text).unwrap();
        let found = reports_in(folder.path()).await.unwrap();
        let run_id = Some(run());
        assert_eq!(found, [FileEvidence { name, run_id }]);
    }
}
