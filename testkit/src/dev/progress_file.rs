//! How far the supervisor is with starting: a line of JSON for each step, read by `up`.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::servers::Event;
use crate::stand_ins::lock;

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    /// Something is being started.
    Starting {
        /// What.
        name: String,
    },
    /// It is ready.
    Ready {
        /// What.
        name: String,
        /// After how long.
        seconds: f32,
    },
    /// Something that a person should know.
    Remark {
        /// A sentence.
        text: String,
    },
    /// Everything is up.
    Up,
    /// It did not work; the supervisor ends.
    Failed {
        /// Why, with the end of the log.
        error: String,
    },
}

impl Note {
    pub(super) fn ready(name: &str, after: Duration) -> Self {
        Self::Ready {
            name: name.to_owned(),
            seconds: after.as_secs_f32(),
        }
    }
}

impl From<Event> for Note {
    fn from(event: Event) -> Self {
        match event {
            Event::Starting(name) => Self::Starting {
                name: name.to_owned(),
            },
            Event::Ready(name, after) => Self::ready(name, after),
        }
    }
}

/// The supervisor's end.
#[derive(Debug)]
pub(super) struct Notes {
    file: Mutex<File>,
}

impl Notes {
    /// Begins anew.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(path)
            .with_context(|| format!("failed to open {}", path.display()))?;
        Ok(Self {
            file: Mutex::new(file),
        })
    }

    /// Writes one line. Progress that cannot be told stops nothing.
    pub(super) fn tell(&self, note: &Note) {
        let told = serde_json::to_string(note)
            .map_err(std::io::Error::from)
            .and_then(|line| writeln!(lock(&self.file), "{line}"));
        if let Err(error) = told {
            eprintln!("failed to tell the progress: {error}");
        }
    }
}

/// The end of `up`: gives each line once.
#[derive(Debug)]
pub(super) struct NotesReader {
    path: PathBuf,
    read: usize,
}

impl NotesReader {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, read: 0 }
    }

    /// The lines that are new since the last call. A file that is not there yet has none.
    pub(super) fn new_notes(&mut self) -> Vec<Note> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let whole_lines = text.rfind('\n').map_or(0, |end| end + 1);
        let new = text.get(self.read..whole_lines).unwrap_or_default();
        self.read = whole_lines.max(self.read);
        new.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remark(text: &str) -> Note {
        Note::Remark {
            text: text.to_owned(),
        }
    }

    #[test]
    fn each_note_is_read_once_and_half_a_line_waits_for_its_other_half() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("start.jsonl");
        let mut reader = NotesReader::new(path.clone());
        assert_eq!(reader.new_notes(), []);

        let notes = Notes::create(&path).unwrap();
        notes.tell(&remark("first"));
        assert_eq!(reader.new_notes(), [remark("first")]);
        assert_eq!(reader.new_notes(), []);

        lock(&notes.file).write_all(br#"{"remark":{"te"#).unwrap();
        assert_eq!(reader.new_notes(), []);
        lock(&notes.file).write_all(b"xt\":\"second\"}}\n").unwrap();
        assert_eq!(reader.new_notes(), [remark("second")]);
    }
}
