//! The end of a log file, for the message of a server that failed to start.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How many lines a message shows.
const LINES: usize = 20;
/// How much of the file's end is looked at.
const BYTES: u64 = 16 * 1024;

/// The last 20 lines of a log, indented, under its path; only what was written after the first
/// `from` bytes, which others have written before. A log that cannot be read says so.
pub fn tail(log: &Path, from: u64) -> String {
    match read_end(log, from) {
        Ok(text) => format!("last lines of {}:\n{}", log.display(), last_lines(&text)),
        Err(error) => format!("the log {} cannot be read: {error}", log.display()),
    }
}

/// Whether the end of a log says `words`, in whatever case: also above the lines that a message
/// shows, because some programs print a long trace after the reason.
pub(super) fn says(log: &Path, from: u64, words: &str) -> bool {
    read_end(log, from).is_ok_and(|text| text.to_lowercase().contains(words))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(LINES)..];
    let indented = shown.iter().map(|line| format!("    {line}"));
    indented.collect::<Vec<_>>().join("\n")
}

fn read_end(log: &Path, from: u64) -> std::io::Result<String> {
    let mut file = std::fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(BYTES))))?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_above_the_shown_lines_is_found() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let trace = "trace\n".repeat(100);
        std::fs::write(log.path(), format!("Address already in use\n{trace}")).unwrap();
        assert!(!tail(log.path(), 0).contains("in use"));
        assert!(says(log.path(), 0, "address already in use"));
        assert!(!says(log.path(), 0, "out of memory"));
    }

    #[test]
    fn a_tail_is_the_last_twenty_lines() {
        let lines: Vec<String> = (1..=50).map(|number| format!("line {number}")).collect();
        let text = lines.join("\n");
        let shown = last_lines(&text);
        assert_eq!(shown.lines().count(), 20);
        assert!(shown.starts_with("    line 31\n"), "{shown}");
        assert!(shown.ends_with("    line 50"), "{shown}");
    }
}
