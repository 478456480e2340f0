use std::io::Write as _;

use rcgen::generate_simple_self_signed;
use tempfile::NamedTempFile;

use super::*;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[expect(clippy::unnecessary_wraps, reason = "as the settings hold it")]
fn path(file: &NamedTempFile) -> Option<PathBuf> {
    Some(file.path().to_owned())
}

fn refusal(arguments: &SecurityArguments) -> String {
    arguments.read(false).unwrap_err().to_string()
}

#[test]
fn without_a_setting_the_connection_is_plain() {
    let plain = SecurityArguments::default();
    assert!(plain.read(false).unwrap().tls.is_none());
    assert!(plain.read(true).unwrap().tls.is_some());
    // As a chart passes what is not set.
    let empty = SecurityArguments {
        temporal_tls_ca: Some(PathBuf::new()),
        temporal_tls_server_name: Some(String::new()),
        temporal_api_key: Some(Secret::new("")),
        ..SecurityArguments::default()
    };
    assert!(empty.read(false).unwrap().tls.is_none());
}

#[test]
fn a_key_is_never_sent_in_plain_text() {
    let mut arguments = SecurityArguments {
        temporal_api_key: Some(Secret::new("canary")),
        ..SecurityArguments::default()
    };
    let security = arguments.read(false).unwrap();
    assert!(security.tls.is_some());
    assert_eq!(security.api_key.unwrap().expose(), "canary");
    arguments.temporal_tls = Some(false);
    let refused = refusal(&arguments);
    assert!(
        refused.contains("TEMPORAL_TLS") && refused.contains("TEMPORAL_API_KEY needs TLS"),
        "{refused}"
    );
    assert!(!format!("{arguments:?}").contains("canary"));
}

#[test]
fn a_key_comes_from_one_place() {
    let key = file("from-file\n");
    let mut arguments = SecurityArguments {
        temporal_api_key_file: path(&key),
        ..SecurityArguments::default()
    };
    let read = arguments.api_key().unwrap().unwrap();
    assert_eq!(read.expose(), "from-file");
    arguments.temporal_api_key = Some(Secret::new("given"));
    assert!(refusal(&arguments).contains("set one of them"));
    let broken = SecurityArguments {
        temporal_api_key: Some(Secret::new("two\nlines")),
        ..SecurityArguments::default()
    };
    let refused = refusal(&broken);
    assert!(refused.contains("TEMPORAL_API_KEY") && !refused.contains("lines"));
}

#[test]
fn a_certificate_and_its_key_go_together() {
    let signed = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = file(&signed.cert.pem());
    let key = file(&signed.signing_key.serialize_pem());
    let mut arguments = SecurityArguments {
        temporal_tls_cert: path(&certificate),
        ..SecurityArguments::default()
    };
    assert!(refusal(&arguments).contains("set TEMPORAL_TLS_KEY too"));
    arguments.temporal_tls_key = path(&key);
    let tls = arguments.read(false).unwrap().tls.unwrap();
    assert!(tls.client_tls_options.is_some());
    arguments.temporal_tls_cert = None;
    assert!(refusal(&arguments).contains("set TEMPORAL_TLS_CERT too"));
}

#[test]
fn a_file_of_no_use_is_named_with_its_setting() {
    let text = file("no certificate");
    let cases = [
        SecurityArguments {
            temporal_tls_ca: Some("/no/such/file".into()),
            ..SecurityArguments::default()
        },
        SecurityArguments {
            temporal_tls_ca: path(&text),
            ..SecurityArguments::default()
        },
    ];
    for arguments in cases {
        let refused = refusal(&arguments);
        assert!(refused.starts_with("TEMPORAL_TLS_CA is \"/"), "{refused}");
    }
}

#[test]
fn what_to_do_is_told_from_the_reason() {
    let reason = "received fatal alert: CertificateRequired";
    assert!(advice(reason).unwrap().contains("TEMPORAL_TLS_CERT"));
    let reason = "invalid peer certificate: UnknownIssuer";
    assert!(advice(reason).unwrap().contains("TEMPORAL_TLS_CA"));
    assert_eq!(advice("connection refused"), None);
}
