//! The report files in a bucket.

use domain::RunId;
use domain::verification::{FileEvidence, Seen};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange};
use runtime::describe;
use runtime::storage::Bucket;

use super::{MAXIMUM_BYTES, MAXIMUM_ENTRIES, is_report, run_in_frontmatter};

/// The most objects that are read for one question; each is a request.
const MAXIMUM_OBJECTS: usize = 100;

/// How many of them are read at once.
const AT_ONCE: usize = 8;

/// The reports whose names begin so. The run's own name is known, so that it is asked for first;
/// only when it is not there does the listing tell what is.
pub(super) async fn look(bucket: &Bucket, beginning: &str, run: RunId) -> Seen<Vec<FileEvidence>> {
    let expected = format!("{beginning}{run}.md");
    if let Some(found) = run_in(bucket, &expected).await? {
        return Ok(vec![FileEvidence {
            name: expected,
            run_id: found,
        }]);
    }
    let names = report_names(bucket, beginning).await?;
    if names.len() > MAXIMUM_OBJECTS {
        return Err(format!(
            "{bucket} holds more than {MAXIMUM_OBJECTS} objects {beginning}*.md and no {expected}; \
             not all were opened"
        ));
    }
    let read = names.into_iter().map(|name| async move {
        let run_id = run_in(bucket, &name).await?;
        Ok::<_, String>(run_id.map(|run_id| FileEvidence { name, run_id }))
    });
    let files: Vec<_> = futures::stream::iter(read)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    // One that went away in between is not there.
    Ok(files.into_iter().flatten().collect())
}

/// Asks for any object: it need not be there, but the bucket must say so.
pub(super) async fn reach(bucket: &Bucket) -> Seen<()> {
    let mut listed = bucket.store().list(Some(bucket.folder()));
    let first = listed.try_next().await;
    first.map(drop).map_err(|error| unreadable(bucket, &error))
}

async fn report_names(bucket: &Bucket, beginning: &str) -> Seen<Vec<String>> {
    // The listing is in the order of the names, and begins after this one.
    let offset = bucket.object(beginning);
    let mut listed = bucket
        .store()
        .list_with_offset(Some(bucket.folder()), &offset);
    let mut names = Vec::new();
    for _ in 0..MAXIMUM_ENTRIES {
        let next = listed.try_next().await;
        let Some(object) = next.map_err(|error| unreadable(bucket, &error))? else {
            return Ok(names);
        };
        let Some(name) = name_below(bucket.folder(), &object.location) else {
            continue;
        };
        if !name.starts_with(beginning) {
            return Ok(names);
        }
        if is_report(&name, beginning) {
            names.push(name);
        }
    }
    Err(format!("{bucket} has more than {MAXIMUM_ENTRIES} objects"))
}

/// The name of an object directly in the folder.
fn name_below(folder: &Path, object: &Path) -> Option<String> {
    let mut parts = object.prefix_match(folder)?;
    let name = parts.next()?.as_ref().to_owned();
    parts.next().is_none().then_some(name)
}

/// The run in an object's frontmatter, if it has one; `None` when there is no such object.
async fn run_in(bucket: &Bucket, name: &str) -> Seen<Option<Option<RunId>>> {
    let options = GetOptions {
        range: Some(GetRange::Bounded(0..MAXIMUM_BYTES)),
        ..GetOptions::default()
    };
    let object = bucket.object(name);
    let beginning = match bucket.store().get_opts(&object, options).await {
        Ok(found) => found.bytes().await,
        Err(error) => Err(error),
    };
    match beginning {
        Ok(text) => Ok(Some(run_in_frontmatter(&String::from_utf8_lossy(&text)))),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(unreadable(bucket, &error)),
    }
}

fn unreadable(bucket: &Bucket, error: &Error) -> String {
    format!("{bucket} can't be read: {}", describe(error))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::ObjectStoreExt as _;
    use object_store::memory::InMemory;

    use super::*;

    const RUN: &str = "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f";
    const BEGINNING: &str = "daily-2026-11-24-";

    fn run() -> RunId {
        RUN.parse().unwrap()
    }

    async fn bucket(objects: &[(&str, &str)]) -> Bucket {
        let bucket = Bucket::of(Arc::new(InMemory::new()), Path::from("team"), "s3://r/team");
        for (name, text) in objects {
            let text = (*text).to_owned();
            let path = Path::from(format!("team/{name}"));
            bucket.store().put(&path, text.into()).await.unwrap();
        }
        bucket
    }

    fn of_run() -> String {
        format!("---\nactivity_core_run_id: \"{RUN}\"\n---\n")
    }

    #[tokio::test]
    async fn the_runs_report_is_found_by_its_name() {
        let name = format!("{BEGINNING}{RUN}.md");
        let bucket = bucket(&[(&name, &of_run())]).await;
        let found = look(&bucket, BEGINNING, run()).await.unwrap();
        let expected = FileEvidence {
            name,
            run_id: Some(run()),
        };
        assert_eq!(found, [expected]);
    }

    #[tokio::test]
    async fn without_it_the_days_other_reports_are_told() {
        let text = of_run();
        let bucket = bucket(&[
            ("daily-2026-11-24-by-hand.md", &text),
            ("daily-2026-11-24-x.txt", &text),
            ("daily-2026-11-24-deep/x.md", &text),
            ("daily-2026-11-23-x.md", &text),
            ("weekly-2026-11-24-x.md", &text),
        ])
        .await;
        let found = look(&bucket, BEGINNING, run()).await.unwrap();
        let names: Vec<_> = found.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["daily-2026-11-24-by-hand.md"]);
        assert_eq!(look(&bucket, "monthly-", run()).await, Ok(Vec::new()));
    }
}
