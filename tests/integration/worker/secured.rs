//! Temporal by mutual TLS and API key: the development server behind a proxy that terminates TLS,
//! wants to see a client certificate, and notes the key of each call.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use domain::RunOutcome;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use runtime::temporal::{SecurityArguments, TemporalArguments};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::run::{REQUEST, RunPlace};

const SERVER_NAME: &str = "temporal.test";
const API_KEY: &str = "canary-temporal-key";

type Forwarder = Client<HttpConnector, Incoming>;

/// A proxy before Temporal.
struct TlsProxy {
    folder: TempDir,
    address: String,
    /// The header `authorization` of each call.
    keys: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl TlsProxy {
    async fn before(temporal: &str) -> Result<Self> {
        runtime::install_cryptography();
        let folder = tempfile::tempdir()?;
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&folder)?));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let keys = Arc::new(Mutex::new(Vec::new()));
        let forwarder = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build_http();
        let forward = Forward {
            temporal: temporal.to_owned(),
            forwarder,
            keys: Arc::clone(&keys),
        };
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, forward) = (acceptor.clone(), forward.clone());
                // Handshakes and connections that break are what the test is about.
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(move |request| forward.clone().call(request));
                    let _ = http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self {
            folder,
            address,
            keys,
            task,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything that the proxy wants.
    fn complete(&self) -> SecurityArguments {
        SecurityArguments {
            temporal_tls_ca: Some(self.file("ca.crt")),
            temporal_tls_cert: Some(self.file("client.crt")),
            temporal_tls_key: Some(self.file("client.key")),
            temporal_tls_server_name: Some(SERVER_NAME.to_owned()),
            ..SecurityArguments::default()
        }
    }

    /// Why a connection with these settings is not made.
    async fn refusal(&self, security: SecurityArguments) -> String {
        let arguments = TemporalArguments {
            temporal_host: Some(self.address.clone()),
            temporal_namespace: "default".to_owned(),
            security,
        };
        match arguments.connect_once("test").await {
            Ok(_) => panic!("connected with {arguments:?}"),
            Err(error) => runtime::describe(&error),
        }
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Forward {
    temporal: String,
    forwarder: Forwarder,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Forward {
    async fn call(self, mut request: Request<Incoming>) -> Result<Response<Incoming>> {
        let key = request.headers().get("authorization");
        let key = key.map_or(Ok(""), |key| key.to_str())?.to_owned();
        self.keys.lock().unwrap().push(key);
        let path = request.uri().path_and_query().context("no path")?;
        *request.uri_mut() = format!("http://{}{path}", self.temporal).parse()?;
        Ok(self.forwarder.request(request).await?)
    }
}

/// Makes the authority and both certificates, and keeps in the folder what a client needs.
fn server_config(folder: &TempDir) -> Result<ServerConfig> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let server_key = KeyPair::generate()?;
    let server = CertificateParams::new([SERVER_NAME.to_owned()])?;
    let server = server.signed_by(&server_key, &authority)?;
    let client_key = KeyPair::generate()?;
    let client = CertificateParams::default().signed_by(&client_key, &authority)?;
    for (name, text) in [
        ("ca.crt", authority.pem()),
        ("client.crt", client.pem()),
        ("client.key", client_key.serialize_pem()),
        ("api-key", format!("{API_KEY}\n")),
    ] {
        std::fs::write(folder.path().join(name), text)?;
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der().to_vec()))?;
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build()?;
    let key = PrivateKeyDer::try_from(server_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server.der().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

#[tokio::test]
async fn a_worker_runs_by_mutual_tls_and_sends_its_key_with_every_call() -> Result<()> {
    let place = RunPlace::new("secured").await?;
    place.define(json!({})).await?;
    let proxy = TlsProxy::before(place.place.environment.temporal_host()).await?;
    let file = |name: &str| proxy.file(name).display().to_string();
    let (ca, certificate, key) = (file("ca.crt"), file("client.crt"), file("client.key"));
    let api_key = file("api-key");
    let worker = place
        .worker([
            ("TEMPORAL_HOST", proxy.address.as_str()),
            ("TEMPORAL_TLS_CA", &ca),
            ("TEMPORAL_TLS_CERT", &certificate),
            ("TEMPORAL_TLS_KEY", &key),
            ("TEMPORAL_TLS_SERVER_NAME", SERVER_NAME),
            ("TEMPORAL_API_KEY_FILE", &api_key),
        ])
        .await?;
    let start = place.start_by_request(REQUEST).await?;
    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Succeeded, "{:?}", run.error);
    let keys = proxy.keys.lock().unwrap().clone();
    assert!(keys.len() > 5, "{keys:?}");
    let expected = format!("Bearer {API_KEY}");
    assert!(keys.iter().all(|key| *key == expected), "{keys:?}");
    let log = std::fs::read_to_string(worker.log_path())?;
    assert!(!log.contains(API_KEY));
    Ok(())
}

#[tokio::test]
async fn a_connection_that_is_refused_says_which_setting_is_missing() -> Result<()> {
    let place = RunPlace::new("refused").await?;
    let proxy = TlsProxy::before(place.place.environment.temporal_host()).await?;
    let without_certificate = SecurityArguments {
        temporal_tls_cert: None,
        temporal_tls_key: None,
        ..proxy.complete()
    };
    let said = proxy.refusal(without_certificate).await;
    assert!(
        said.contains("set TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY"),
        "{said}"
    );
    let without_authority = SecurityArguments {
        temporal_tls_ca: None,
        ..proxy.complete()
    };
    let said = proxy.refusal(without_authority).await;
    assert!(said.contains("set TEMPORAL_TLS_CA"), "{said}");
    let without_name = SecurityArguments {
        temporal_tls_server_name: None,
        ..proxy.complete()
    };
    let said = proxy.refusal(without_name).await;
    assert!(said.contains("set TEMPORAL_TLS_SERVER_NAME"), "{said}");
    Ok(())
}
