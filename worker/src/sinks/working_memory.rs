//! The working memory: a Markdown file `<prefix>-YYYY-MM-DD-<run id>.md`, in a folder or in a
//! bucket.
//!
//! A file is there as a whole or not at all: in a folder it is written in a folder below,
//! synchronised and then renamed. Its name is made of parts that can't hold a separator, so that
//! it can't lie outside of the folder. The folder is never looked through: it grows for ever.

mod bucket;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use contracts::workflow::format_time;
use domain::RunId;
use runtime::storage::Storage;
use serde_json::Value;

use bucket::ReportObject;

use super::{Delivered, ReportDelivery};
use crate::error::StepError;
use crate::report::Report;

/// The frontmatter's key that proves the run.
const RUN_ID_KEY: &str = "activity_core_run_id";

/// The folder below the working memory with the files that are being written.
const PARTIAL_FOLDER: &str = ".partial";

/// Readable by all: other programs read the working memory.
const PERMISSIONS: u32 = 0o644;

pub(super) async fn deliver(
    delivery: &ReportDelivery<'_>,
    prefix: &str,
) -> Result<Delivered, StepError> {
    let storage = delivery.services.settings.working_memory.as_ref();
    let storage = storage.ok_or(StepError::NotConfigured {
        variable: "WORKING_MEMORY_DIR",
        needed_for: "a working-memory report",
    })?;
    let name = file_name(prefix, delivery.report)?;
    let run_id = delivery.report.run_id;
    let content = content(delivery.report);
    match storage {
        Storage::Bucket(bucket) => {
            let object = ReportObject {
                bucket,
                name,
                run_id,
                content,
            };
            object.deliver().await
        }
        Storage::Folder(folder) => {
            let file = ReportFile {
                folder: folder.clone(),
                name,
                run_id,
                content,
            };
            tokio::task::spawn_blocking(move || file.deliver())
                .await
                .map_err(StepError::Interrupted)?
        }
    }
}

/// One file to be there.
struct ReportFile {
    folder: PathBuf,
    name: String,
    run_id: RunId,
    content: String,
}

impl ReportFile {
    fn deliver(&self) -> Result<Delivered, StepError> {
        let path = self.folder.join(&self.name);
        if self.is_there(&path)? {
            return Ok(Delivered::before(Some(self.name.clone())));
        }
        self.write(&path)
            .map_err(self.failure("write the report file"))?;
        Ok(Delivered::now(Some(self.name.clone())))
    }

    /// Whether the file is there and is this run's. Something else of the same name is an error:
    /// it is not ours to replace.
    fn is_there(&self, path: &Path) -> Result<bool, StepError> {
        let failure = self.failure("look for the report file");
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(self.foreign()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failure(error)),
        }
        let content = fs::read(path).map_err(failure)?;
        if run_id(&String::from_utf8_lossy(&content)) == Some(self.run_id) {
            Ok(true)
        } else {
            Err(self.foreign())
        }
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let partial_folder = self.folder.join(PARTIAL_FOLDER);
        if let Err(error) = fs::create_dir(&partial_folder)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let partial_prefix = format!("{}.", self.name);
        remove_partial_files(&partial_folder, &partial_prefix)?;
        let mut partial = tempfile::Builder::new()
            .prefix(&partial_prefix)
            .tempfile_in(&partial_folder)?;
        let permissions = fs::Permissions::from_mode(PERMISSIONS);
        partial.as_file().set_permissions(permissions)?;
        partial.write_all(self.content.as_bytes())?;
        partial.as_file().sync_all()?;
        partial.persist(path).map_err(|error| error.error)?;
        // The rename is only durable with its folder.
        fs::File::open(&self.folder)?.sync_all()
    }

    fn failure(&self, action: &'static str) -> impl Fn(io::Error) -> StepError + use<> {
        let file = self.name.clone();
        move |source| StepError::File {
            action,
            file: file.clone(),
            source,
        }
    }

    fn foreign(&self) -> StepError {
        StepError::ForeignFile {
            file: self.name.clone(),
        }
    }
}

/// Removes what an earlier try of a delivery left when its process was killed.
fn remove_partial_files(folder: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

fn file_name(prefix: &str, report: &Report) -> Result<String, StepError> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let begins_well = prefix.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !begins_well || !prefix.chars().all(plain) {
        return Err(StepError::InvalidPrefix(prefix.to_owned()));
    }
    Ok(format!("{prefix}-{}-{}.md", report.date, report.run_id))
}

fn content(report: &Report) -> String {
    let mut content = String::from("---\n");
    let mut entry = |key: &str, value: Option<String>| {
        // JSON is YAML; a quoted text can't be mistaken for something else.
        let value = value.map_or(Value::Null, Value::String);
        let _ = writeln!(content, "{key}: {value}");
    };
    entry(RUN_ID_KEY, Some(report.run_id.to_string()));
    entry("activity_id", Some(report.activity.to_string()));
    entry("activity_name", Some(report.activity_name.clone()));
    entry("scheduled_for", report.scheduled_for.map(format_time));
    entry("fired_at", Some(format_time(report.fired_at)));
    entry("trigger", Some(report.trigger.clone()));
    entry("model", report.model.clone());
    let _ = write!(content, "---\n\n{}\n", report.text.trim_end());
    content
}

/// The run in a file's frontmatter.
fn run_id(content: &str) -> Option<RunId> {
    let mut lines = content.lines();
    if lines.next()? != "---" {
        return None;
    }
    lines
        .take_while(|line| *line != "---")
        .find_map(|line| line.strip_prefix(RUN_ID_KEY)?.strip_prefix(':'))?
        .trim()
        .trim_matches('"')
        .parse()
        .ok()
}

#[cfg(test)]
mod tests;
