//! How a connection to Temporal is secured: TLS, a client certificate, an API key.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use temporalio_client::{ClientTlsOptions, TlsOptions};

use crate::{Error, Secret};

/// The settings of a secured connection to Temporal. Any of them turns TLS on.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(id = "temporal-security-arguments")]
pub struct SecurityArguments {
    /// Whether the connection is secured by TLS. When left out it is if any of the other settings
    /// of TLS or an API key is given, or if TEMPORAL_HOST begins with https://.
    #[arg(
        long,
        env = "TEMPORAL_TLS",
        value_name = "true|false",
        help_heading = "Temporal"
    )]
    pub temporal_tls: Option<bool>,

    /// A PEM file with the authorities that may have signed the server's certificate; those of
    /// the system when left out.
    #[arg(
        long,
        env = "TEMPORAL_TLS_CA",
        value_name = "FILE",
        help_heading = "Temporal"
    )]
    pub temporal_tls_ca: Option<PathBuf>,

    /// A PEM file with the certificate that this program shows, for mutual TLS. Read when the
    /// program starts.
    #[arg(
        long,
        env = "TEMPORAL_TLS_CERT",
        value_name = "FILE",
        help_heading = "Temporal"
    )]
    pub temporal_tls_cert: Option<PathBuf>,

    /// A PEM file with the private key of TEMPORAL_TLS_CERT.
    #[arg(
        long,
        env = "TEMPORAL_TLS_KEY",
        value_name = "FILE",
        help_heading = "Temporal"
    )]
    pub temporal_tls_key: Option<PathBuf>,

    /// The name that the server's certificate must have, if it is not the host of TEMPORAL_HOST.
    #[arg(
        long,
        env = "TEMPORAL_TLS_SERVER_NAME",
        value_name = "NAME",
        help_heading = "Temporal"
    )]
    pub temporal_tls_server_name: Option<String>,

    /// The API key that goes with every call, as Temporal Cloud wants it. It needs TLS.
    #[arg(
        long,
        env = "TEMPORAL_API_KEY",
        hide_env_values = true,
        value_name = "KEY",
        help_heading = "Temporal"
    )]
    pub temporal_api_key: Option<Secret>,

    /// A file with the API key, instead of TEMPORAL_API_KEY. It is read again every half minute,
    /// so that a key can be replaced while the program runs.
    #[arg(
        long,
        env = "TEMPORAL_API_KEY_FILE",
        value_name = "FILE",
        help_heading = "Temporal"
    )]
    pub temporal_api_key_file: Option<PathBuf>,
}

/// A secured connection's parts, read and found to be of use.
#[derive(Debug, Clone, Default)]
pub(super) struct Security {
    /// The options of TLS; `None` for a connection in plain text.
    pub(super) tls: Option<TlsOptions>,
    /// The API key.
    pub(super) api_key: Option<Secret>,
}

impl SecurityArguments {
    /// Reads the files. An error names the setting that is of no use and what would be right.
    pub(super) fn read(&self, has_https: bool) -> Result<Security, Error> {
        let api_key = self.api_key()?;
        if !self.is_secured(has_https)? {
            return Ok(Security::default());
        }
        let mut options = TlsOptions::default();
        options.server_root_ca_cert = present(self.temporal_tls_ca.as_deref())
            .map(|file| read_certificates("TEMPORAL_TLS_CA", file))
            .transpose()?;
        options.domain = self
            .temporal_tls_server_name
            .clone()
            .filter(|name| !name.is_empty());
        options.client_tls_options = self.client_certificate()?;
        Ok(Security {
            tls: Some(options),
            api_key,
        })
    }

    /// The API key as it is now, if there is one.
    pub(super) fn api_key(&self) -> Result<Option<Secret>, Error> {
        let given = self.temporal_api_key.clone();
        let given = given.filter(|key| !key.expose().is_empty());
        let key = match (given, present(self.temporal_api_key_file.as_deref())) {
            (Some(_), Some(file)) => {
                return Err(invalid(
                    "TEMPORAL_API_KEY_FILE",
                    file,
                    "TEMPORAL_API_KEY is set too; set one of them",
                ));
            }
            (Some(key), None) => key,
            (None, None) => return Ok(None),
            (None, Some(file)) => {
                let text = read("TEMPORAL_API_KEY_FILE", file)?;
                let key = Secret::new(&String::from_utf8_lossy(&text));
                if key.expose().is_empty() {
                    return Err(invalid("TEMPORAL_API_KEY_FILE", file, "the file is empty"));
                }
                key
            }
        };
        // What can't be sent would be left out by the client without a word.
        if !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::InvalidSetting {
                variable: "TEMPORAL_API_KEY",
                value: "(hidden)".to_owned(),
                problem: "a key holds visible ASCII characters only".to_owned(),
            });
        }
        Ok(Some(key))
    }

    fn is_secured(&self, has_https: bool) -> Result<bool, Error> {
        let reason = self.reason_for_tls();
        match self.temporal_tls {
            Some(true) => Ok(true),
            None => Ok(has_https || reason.is_some()),
            Some(false) => match reason.or(has_https.then_some("TEMPORAL_HOST with https://")) {
                None => Ok(false),
                Some(reason) => Err(Error::InvalidSetting {
                    variable: "TEMPORAL_TLS",
                    value: "false".to_owned(),
                    problem: format!(
                        "{reason} needs TLS; leave TEMPORAL_TLS out or set it to true"
                    ),
                }),
            },
        }
    }

    /// The first setting that makes no sense without TLS.
    fn reason_for_tls(&self) -> Option<&'static str> {
        let files = [
            ("TEMPORAL_TLS_CA", &self.temporal_tls_ca),
            ("TEMPORAL_TLS_CERT", &self.temporal_tls_cert),
            ("TEMPORAL_TLS_KEY", &self.temporal_tls_key),
            ("TEMPORAL_API_KEY_FILE", &self.temporal_api_key_file),
        ];
        let named = |name: &Option<String>| name.as_deref().is_some_and(|name| !name.is_empty());
        let key = self.temporal_api_key.as_ref().map(Secret::expose);
        files
            .into_iter()
            .find(|(_, file)| present(file.as_deref()).is_some())
            .map(|(variable, _)| variable)
            .or_else(|| named(&self.temporal_tls_server_name).then_some("TEMPORAL_TLS_SERVER_NAME"))
            .or_else(|| {
                key.is_some_and(|key| !key.is_empty())
                    .then_some("TEMPORAL_API_KEY")
            })
    }

    fn client_certificate(&self) -> Result<Option<ClientTlsOptions>, Error> {
        let certificate = present(self.temporal_tls_cert.as_deref());
        let key = present(self.temporal_tls_key.as_deref());
        match (certificate, key) {
            (None, None) => Ok(None),
            (Some(certificate), None) => Err(invalid(
                "TEMPORAL_TLS_CERT",
                certificate,
                "it needs its private key; set TEMPORAL_TLS_KEY too",
            )),
            (None, Some(key)) => Err(invalid(
                "TEMPORAL_TLS_KEY",
                key,
                "it needs its certificate; set TEMPORAL_TLS_CERT too",
            )),
            (Some(certificate), Some(key)) => {
                let client_cert = read_certificates("TEMPORAL_TLS_CERT", certificate)?;
                let client_private_key = read("TEMPORAL_TLS_KEY", key)?;
                if PrivateKeyDer::from_pem_slice(&client_private_key).is_err() {
                    return Err(invalid(
                        "TEMPORAL_TLS_KEY",
                        key,
                        "the file holds no private key in PEM form without a passphrase",
                    ));
                }
                Ok(Some(
                    ClientTlsOptions::builder()
                        .client_cert(client_cert)
                        .client_private_key(client_private_key)
                        .build(),
                ))
            }
        }
    }
}

/// A chart value that is not set arrives as an empty text.
fn present(file: Option<&Path>) -> Option<&Path> {
    file.filter(|file| !file.as_os_str().is_empty())
}

fn read(variable: &'static str, file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|error| invalid(variable, file, error))
}

fn read_certificates(variable: &'static str, file: &Path) -> Result<Vec<u8>, Error> {
    let pem = read(variable, file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(pem),
        Ok(_) => Err(invalid(
            variable,
            file,
            "the file holds no certificate in PEM form",
        )),
        Err(error) => Err(invalid(variable, file, error)),
    }
}

fn invalid(variable: &'static str, file: &Path, problem: impl ToString) -> Error {
    Error::InvalidSetting {
        variable,
        value: file.display().to_string(),
        problem: problem.to_string(),
    }
}

/// What is most likely to be done about a connection that failed for this reason. The reason is
/// the text of an error, because the client keeps nothing else of it.
pub(super) fn advice(reason: &str) -> Option<&'static str> {
    const ADVICE: [(&[&str], &str); 6] = [
        (
            &["CertificateRequired"],
            "the server wants to see a client certificate: set TEMPORAL_TLS_CERT and \
             TEMPORAL_TLS_KEY",
        ),
        (
            &[
                "UnknownCA",
                "BadCertificate",
                "CertificateUnknown",
                "CertificateExpired",
            ],
            "the server does not accept the client certificate: look at TEMPORAL_TLS_CERT",
        ),
        (
            &["UnknownIssuer"],
            "the server's certificate is signed by an authority that is not known here: set \
             TEMPORAL_TLS_CA",
        ),
        (
            &["NotValidForName"],
            "the server's certificate is for another name: set TEMPORAL_TLS_SERVER_NAME",
        ),
        (
            &["InvalidContentType", "HTTP_1_1_REQUIRED", "CorruptMessage"],
            "the server does not speak TLS here: leave TEMPORAL_TLS and its settings out",
        ),
        (
            &["Unauthenticated", "PermissionDenied"],
            "the server does not accept the caller: look at TEMPORAL_API_KEY and at the client \
             certificate",
        ),
    ];
    ADVICE
        .into_iter()
        .find(|(signs, _)| signs.iter().any(|sign| reason.contains(sign)))
        .map(|(_, advice)| advice)
}

#[cfg(test)]
mod tests;
