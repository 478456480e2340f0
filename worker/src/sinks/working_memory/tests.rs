use domain::DeliveryResult;

use super::*;
use crate::report::tests::report;

const NAME: &str = "daily-triage-2026-11-24-0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f.md";

fn file_in(folder: &Path) -> ReportFile {
    let report = report(Some("# Fine"));
    ReportFile {
        folder: folder.to_owned(),
        name: file_name("daily-triage", &report).unwrap(),
        run_id: report.run_id,
        content: content(&report),
    }
}

/// The names of the files in a folder and in the one for those that are being written.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten();
    entries(folder.to_owned())
        .chain(entries(folder.join(PARTIAL_FOLDER)))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != PARTIAL_FOLDER)
        .collect()
}

#[test]
fn the_name_tells_the_day_in_the_definitions_zone_and_the_run() {
    assert_eq!(file_name("daily-triage", &report(None)).unwrap(), NAME);
}

#[test]
fn a_name_cannot_lead_out_of_the_folder() {
    for prefix in ["../x", "a/b", "/etc/x", "..", "", ".hidden", "a\\b", "a\0"] {
        let refused = file_name(prefix, &report(None)).unwrap_err();
        assert!(refused.is_permanent(), "{prefix}");
    }
}

#[test]
fn the_frontmatter_is_yaml_that_anybody_reads() {
    let mut report = report(Some("text"));
    report.activity_name = "Ada's \"daily\": #1\n---".to_owned();
    let content = content(&report);
    assert_eq!(run_id(&content), Some(report.run_id));
    let frontmatter = content.split("\n---\n").next().unwrap();
    let yaml: serde_norway::Value = serde_norway::from_str(frontmatter).unwrap();
    assert_eq!(yaml[RUN_ID_KEY], "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f");
    assert_eq!(yaml["activity_name"], report.activity_name.as_str());
    assert_eq!(yaml["scheduled_for"], "2026-11-23T23:30:00Z");
    assert_eq!(yaml["trigger"], "schedule/2026-11-23T23:30:00Z");
    assert!(yaml["model"].is_null());
}

#[test]
fn a_run_in_the_text_is_not_taken_for_the_frontmatters() {
    let other = "---\ntitle: x\n---\nactivity_core_run_id: 0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f\n";
    assert_eq!(run_id(other), None);
    assert_eq!(run_id("no frontmatter"), None);
}

#[test]
fn a_second_delivery_finds_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = file_in(folder.path());
    assert_eq!(file.deliver().unwrap().result, DeliveryResult::Delivered);
    assert_eq!(file.deliver().unwrap().result, DeliveryResult::Exists);
    assert_eq!(names_in(folder.path()), [NAME]);
    let mode = fs::metadata(folder.path().join(NAME)).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, PERMISSIONS);
}

#[test]
fn what_a_killed_try_left_is_cleared_away() {
    let folder = tempfile::tempdir().unwrap();
    let file = file_in(folder.path());
    let partial = folder.path().join(PARTIAL_FOLDER);
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join(format!("{NAME}.abc")), "half").unwrap();
    assert_eq!(file.deliver().unwrap().result, DeliveryResult::Delivered);
    assert_eq!(names_in(folder.path()), [NAME]);
}

#[test]
fn somebody_elses_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = file_in(folder.path());
    fs::write(folder.path().join(NAME), "mine").unwrap();
    assert!(file.deliver().unwrap_err().is_permanent());
    assert_eq!(
        fs::read_to_string(folder.path().join(NAME)).unwrap(),
        "mine"
    );
}

#[test]
fn a_missing_folder_may_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = file_in(&folder.path().join("unmounted"));
    assert!(!file.deliver().unwrap_err().is_permanent());
}
