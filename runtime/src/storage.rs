//! A place for files: a folder, or a bucket of an object store that speaks S3.
//!
//! What is written to it and how it is read is its user's business. Only a setting of the process
//! names a place, so a bucket's endpoint is not held against any list of allowed hosts; it is
//! called without proxies, and where it redirects to is not followed.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::client::{HttpClient, HttpConnector};
use object_store::path::Path;
use object_store::{ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::Error;

/// How long the connection to the store may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one request may take, answer included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the client repeats a request by itself, and for how long at most; beyond that its
/// user knows better when to try again.
const MAXIMUM_RETRIES: usize = 2;
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// What a setting with a place should look like.
const FORM: &str = "write a folder, or s3://bucket/prefix";

/// A place for files.
#[derive(Debug, Clone)]
pub enum Storage {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A part of a bucket.
    Bucket(Bucket),
}

impl Storage {
    /// The place that `text` names: a path, or a URL `s3://bucket/prefix`. Nothing is called yet.
    /// What else the store needs comes from the variables `AWS_*`, as with every program of its
    /// kind: keys or a web identity, region, endpoint. An error names `variable`.
    pub fn parse(variable: &'static str, text: &str) -> Result<Self, Error> {
        let invalid = |problem: String| Error::InvalidSetting {
            variable,
            // A URL may hold a password, where it is not allowed to.
            value: text.rsplit('@').next().unwrap_or_default().to_owned(),
            problem,
        };
        if !text.contains("://") {
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        let url = Url::parse(text).map_err(|error| invalid(format!("{error}; {FORM}")))?;
        match url.scheme() {
            "file" => url
                .to_file_path()
                .map(Self::Folder)
                .map_err(|()| invalid(format!("it is no path of this machine; {FORM}"))),
            "s3" => Bucket::connect(&url).map(Self::Bucket).map_err(invalid),
            other => Err(invalid(format!("{other}:// is not supported; {FORM}"))),
        }
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(formatter),
            Self::Bucket(bucket) => bucket.fmt(formatter),
        }
    }
}

/// The part of a bucket below a prefix. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    url: String,
}

impl Bucket {
    /// The part of any store below `folder`; `url` is how it is called in texts.
    pub fn of(store: Arc<dyn ObjectStore>, folder: Path, url: impl Into<String>) -> Self {
        Self {
            store,
            folder,
            url: url.into(),
        }
    }

    fn connect(url: &Url) -> Result<Self, String> {
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !is_plain || url.host_str().is_none_or(str::is_empty) {
            return Err(format!(
                "it may hold a bucket and a prefix and nothing else, keys least of all; {FORM}"
            ));
        }
        let folder = Path::from_url_path(url.path()).map_err(|error| error.to_string())?;
        let store = AmazonS3Builder::from_env()
            .with_url(url.as_str())
            .with_http_connector(DirectConnector)
            .with_retry(RetryConfig {
                max_retries: MAXIMUM_RETRIES,
                retry_timeout: RETRY_TIMEOUT,
                ..RetryConfig::default()
            })
            .build()
            .map_err(|error| crate::describe(&error))?;
        Ok(Self::of(Arc::new(store), folder, url.as_str()))
    }

    /// The store.
    pub fn store(&self) -> &dyn ObjectStore {
        self.store.as_ref()
    }

    /// The folder in the store.
    pub const fn folder(&self) -> &Path {
        &self.folder
    }

    /// The object of this name directly below the prefix: a slash in the name leads nowhere else.
    pub fn object(&self, name: &str) -> Path {
        self.folder.clone().join(name)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url)
    }
}

/// Makes clients that call the store itself: no proxy, no redirect.
#[derive(Debug)]
struct DirectConnector;

impl HttpConnector for DirectConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp);
        let client = reqwest::Client::builder()
            .user_agent(concat!("activity-core/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .https_only(allows_http.as_deref() != Some("true"))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build();
        match client {
            Ok(client) => Ok(HttpClient::new(client)),
            Err(error) => Err(object_store::Error::Generic {
                store: "S3",
                source: Box::new(error),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Storage, Error> {
        crate::install_cryptography();
        Storage::parse("WORKING_MEMORY_DIR", text)
    }

    #[test]
    fn a_path_is_a_folder_and_an_s3_url_a_bucket() {
        for folder in ["/var/lib/memory", "file:///var/lib/memory"] {
            let Storage::Folder(path) = parse(folder).unwrap() else {
                panic!("{folder} is no folder");
            };
            assert_eq!(path, PathBuf::from("/var/lib/memory"));
        }
        let Storage::Bucket(bucket) = parse("s3://reports/team/a/").unwrap() else {
            panic!("no bucket");
        };
        assert_eq!(bucket.folder().as_ref(), "team/a");
        assert_eq!(bucket.object("x.md").as_ref(), "team/a/x.md");
    }

    #[test]
    fn a_name_never_leaves_its_folder() {
        let Storage::Bucket(bucket) = parse("s3://reports/team").unwrap() else {
            panic!("no bucket");
        };
        for name in ["../x.md", "a/b.md", "..", "/x.md"] {
            let object = bucket.object(name);
            assert_eq!(object.parts().count(), 2, "{object}");
            assert!(object.prefix_matches(bucket.folder()), "{object}");
        }
    }

    #[test]
    fn a_place_of_no_use_is_refused_by_its_setting_and_without_its_keys() {
        for text in [
            "gs://bucket/x",
            "s3://",
            "s3://key:canary@bucket/x",
            "s3://bucket/x?canary=1",
            "s3://bucket/a//b",
        ] {
            let refused = parse(text).unwrap_err().to_string();
            assert!(refused.starts_with("WORKING_MEMORY_DIR is "), "{refused}");
            if text.contains('@') {
                assert!(!refused.contains("canary"), "{refused}");
            }
        }
    }
}
