//! A report in a bucket.
//!
//! An object is there as a whole or not at all, and it is only ever created: of two writers one
//! wins, and the other finds its report.

use domain::RunId;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, PutMode, PutOptions};
use runtime::storage::Bucket;

use super::run_id;
use crate::error::StepError;
use crate::sinks::Delivered;

/// How much of an object is read to find its run; its frontmatter ends within.
const FRONTMATTER_BYTES: u64 = 16 * 1024;

/// One object to be there.
pub(super) struct ReportObject<'run> {
    pub(super) bucket: &'run Bucket,
    pub(super) name: String,
    pub(super) run_id: RunId,
    pub(super) content: String,
}

impl ReportObject<'_> {
    pub(super) async fn deliver(self) -> Result<Delivered, StepError> {
        let path = self.bucket.object(&self.name);
        if self.is_there(&path).await? {
            return Ok(Delivered::before(Some(self.name)));
        }
        let options = PutOptions::from(PutMode::Create);
        let content = self.content.clone().into();
        match self.bucket.store().put_opts(&path, content, options).await {
            Ok(_) => Ok(Delivered::now(Some(self.name))),
            // Another writer was faster, or our own try whose answer was lost.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                if self.is_there(&path).await? {
                    Ok(Delivered::before(Some(self.name)))
                } else {
                    Err(self.foreign())
                }
            }
            Err(source) => Err(self.failure("write the report to", source)),
        }
    }

    /// Whether the object is there and is this run's. Something else of the same name is an
    /// error: it is not ours to replace.
    async fn is_there(&self, path: &Path) -> Result<bool, StepError> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(0..FRONTMATTER_BYTES)),
            ..GetOptions::default()
        };
        let found = match self.bucket.store().get_opts(path, options).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        match found {
            Ok(beginning) => {
                if run_id(&String::from_utf8_lossy(&beginning)) == Some(self.run_id) {
                    Ok(true)
                } else {
                    Err(self.foreign())
                }
            }
            Err(Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(self.failure("look for the report in", source)),
        }
    }

    fn foreign(&self) -> StepError {
        StepError::ForeignFile {
            file: self.name.clone(),
        }
    }

    fn failure(&self, action: &'static str, source: Error) -> StepError {
        StepError::Object {
            action,
            object: format!("{} ({})", self.bucket, self.name),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::DeliveryResult;
    use object_store::ObjectStoreExt as _;
    use object_store::memory::InMemory;

    use super::*;
    use crate::report::tests::report;
    use crate::sinks::working_memory::{content, file_name};

    fn bucket() -> Bucket {
        Bucket::of(
            Arc::new(InMemory::new()),
            Path::from("team"),
            "s3://reports/team",
        )
    }

    fn object(bucket: &Bucket) -> ReportObject<'_> {
        let report = report(Some("# Fine"));
        ReportObject {
            bucket,
            name: file_name("daily-triage", &report).unwrap(),
            run_id: report.run_id,
            content: content(&report),
        }
    }

    async fn text(bucket: &Bucket) -> String {
        let path = bucket.object(&object(bucket).name);
        let found = bucket.store().get(&path).await.unwrap();
        String::from_utf8(found.bytes().await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_second_delivery_finds_the_first() {
        let bucket = bucket();
        let first = object(&bucket).deliver().await.unwrap();
        assert_eq!(first.result, DeliveryResult::Delivered);
        let second = object(&bucket).deliver().await.unwrap();
        assert_eq!(second.result, DeliveryResult::Exists);
        assert!(text(&bucket).await.ends_with("# Fine\n"));
    }

    #[tokio::test]
    async fn of_two_writers_one_wins() {
        let bucket = bucket();
        let (one, other) = tokio::join!(object(&bucket).deliver(), object(&bucket).deliver());
        let mut results = [one.unwrap().result, other.unwrap().result];
        results.sort_by_key(|result| result.as_str());
        assert_eq!(results, [DeliveryResult::Delivered, DeliveryResult::Exists]);
    }

    #[tokio::test]
    async fn somebody_elses_object_is_left_alone() {
        let bucket = bucket();
        let path = bucket.object(&object(&bucket).name);
        bucket.store().put(&path, "mine".into()).await.unwrap();
        assert!(object(&bucket).deliver().await.unwrap_err().is_permanent());
        assert_eq!(text(&bucket).await, "mine");
    }
}
