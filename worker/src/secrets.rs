//! Secrets that definitions refer to: files below SECRETS_DIR, one folder for each Secret and one
//! file for each of its keys, as Kubernetes mounts them.
//!
//! A file is read when it is needed, so that a replaced Secret counts from the next try on.

use std::io;
use std::path::PathBuf;

use domain::SecretReference;
use runtime::Secret;
use tokio::io::AsyncReadExt as _;

use crate::error::StepError;

/// The longest secret, in bytes.
const MAXIMUM_BYTES: u64 = 64 * 1024;

/// The secrets that definitions may refer to.
#[derive(Debug, Clone)]
pub(crate) struct Secrets(Option<PathBuf>);

impl Secrets {
    /// Secrets in a folder; none at all without one.
    pub(crate) const fn new(folder: Option<PathBuf>) -> Self {
        Self(folder)
    }

    /// The secret that a definition refers to. An error names it and shows nothing of it.
    pub(crate) async fn read(&self, reference: &SecretReference) -> Result<Secret, StepError> {
        let folder = self.0.as_ref().ok_or(StepError::NotConfigured {
            variable: "SECRETS_DIR",
            needed_for: "a secret that the definition refers to",
        })?;
        let unreadable = |source| StepError::SecretFile {
            reference: reference.to_string(),
            source,
        };
        // Well-formed names can't lead out of the folder; others are refused at admission.
        if !reference.is_well_formed() {
            return Err(unreadable(io::ErrorKind::InvalidFilename.into()));
        }
        let path = folder.join(&reference.name).join(&reference.key);
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let mut text = Vec::new();
        let read = file.take(MAXIMUM_BYTES + 1).read_to_end(&mut text).await;
        if read.map_err(unreadable)? as u64 > MAXIMUM_BYTES {
            return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
        }
        let text =
            String::from_utf8(text).map_err(|_| unreadable(io::ErrorKind::InvalidData.into()))?;
        Ok(Secret::new(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(name: &str, key: &str) -> SecretReference {
        SecretReference {
            name: name.to_owned(),
            key: key.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_secret_is_read_as_it_is_now() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(Some(folder.path().to_owned()));
        let wanted = reference("hook", "signing-key");
        let missing = secrets.read(&wanted).await.unwrap_err();
        assert!(missing.text().contains("hook/signing-key"));
        assert!(!missing.is_permanent());
        std::fs::create_dir(folder.path().join("hook")).unwrap();
        for text in ["one", "two\n"] {
            std::fs::write(folder.path().join("hook/signing-key"), text).unwrap();
            let read = secrets.read(&wanted).await.unwrap();
            assert_eq!(read.expose(), text.trim());
        }
    }

    #[tokio::test]
    async fn a_reference_never_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("outside"), "canary").unwrap();
        std::fs::create_dir(folder.path().join("secrets")).unwrap();
        let secrets = Secrets::new(Some(folder.path().join("secrets")));
        for (name, key) in [
            ("..", "outside"),
            ("a", "../../outside"),
            (".", "x"),
            ("", "x"),
        ] {
            let refused = secrets.read(&reference(name, key)).await;
            assert!(refused.is_err(), "{name}/{key}");
        }
    }

    #[tokio::test]
    async fn without_a_folder_the_setting_is_named() {
        let refused = Secrets::new(None)
            .read(&reference("a", "b"))
            .await
            .unwrap_err();
        assert!(refused.is_permanent() && refused.text().contains("SECRETS_DIR"));
    }
}
