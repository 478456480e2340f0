//! The certificates and keys of the small cluster, and kubeconfigs that use them.
//!
//! They stay in the data folder: a stack that comes up again keeps its identity.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// Where Services have their addresses; the first one is the API's.
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// The same where no address of a Service leads anywhere.
pub(super) const SERVICES_WITHOUT_NODES: &str = "10.0.0.0/24";
const KUBERNETES_SERVICES: [&str; 2] = ["10.96.0.1", "10.0.0.1"];

/// Written last: without it the folder is half-finished and is written again.
const COMPLETE: &str = "complete";

/// A node that the cluster has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    /// Its name.
    pub name: String,
    /// Where it and its API server are reached.
    pub address: Ipv4Addr,
}

/// The files of the cluster's identity.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    /// Takes those in `folder`, or makes new ones there.
    pub(super) fn in_folder(folder: &Path, node: Option<&NodeIdentity>) -> Result<Self> {
        let credentials = Self {
            folder: folder.to_owned(),
        };
        if !credentials.file(COMPLETE).exists() {
            fs::create_dir_all(folder)
                .with_context(|| format!("failed to make {}", folder.display()))?;
            credentials
                .create(node)
                .context("failed to make the cluster's certificates")?;
            credentials.write(COMPLETE, "")?;
        }
        Ok(credentials)
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.file("ca.crt")
    }

    /// Serves kube-apiserver and the controller manager alike: both listen on 127.0.0.1.
    pub(super) fn server_certificate(&self) -> (PathBuf, PathBuf) {
        (self.file("server.crt"), self.file("server.key"))
    }

    pub(super) fn service_account_keys(&self) -> (PathBuf, PathBuf) {
        (
            self.file("service-accounts.key"),
            self.file("service-accounts.pub"),
        )
    }

    /// What a node's kubelet shows to the API server and to those who ask it.
    pub(super) fn kubelet_certificate(&self) -> (PathBuf, PathBuf) {
        (self.file("kubelet.crt"), self.file("kubelet.key"))
    }

    /// What the API server shows to a kubelet: it may do everything.
    pub(super) fn admin_certificate(&self) -> (PathBuf, PathBuf) {
        (self.file("admin.crt"), self.file("admin.key"))
    }

    /// Writes a kubeconfig of the administrator for the API at `server`.
    pub(super) fn write_kubeconfig(&self, server: &str) -> Result<PathBuf> {
        self.write_kubeconfig_of("admin", "kubeconfig", server)
    }

    /// Writes a kubeconfig of the node for the API at `server`.
    pub(super) fn write_node_kubeconfig(&self, server: &str) -> Result<PathBuf> {
        self.write_kubeconfig_of("kubelet", "node-kubeconfig", server)
    }

    fn write_kubeconfig_of(&self, user: &str, file: &str, server: &str) -> Result<PathBuf> {
        let kubeconfig = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "testkit",
                "cluster": { "server": server, "certificate-authority": self.ca() },
            }],
            "users": [{
                "name": user,
                "user": {
                    "client-certificate": self.file(&format!("{user}.crt")),
                    "client-key": self.file(&format!("{user}.key")),
                },
            }],
            "contexts": [{
                "name": "testkit",
                "context": { "cluster": "testkit", "user": user },
            }],
            "current-context": "testkit",
        });
        let text = serde_norway::to_string(&kubeconfig).context("failed to print a kubeconfig")?;
        self.write(file, &text)?;
        Ok(self.file(file))
    }

    fn create(&self, node: Option<&NodeIdentity>) -> Result<()> {
        let authority = self.create_authority()?;

        let mut names = [
            "localhost",
            "127.0.0.1",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            KUBERNETES_SERVICES[0],
            KUBERNETES_SERVICES[1],
        ]
        .map(str::to_owned)
        .to_vec();
        names.extend(node.map(|node| node.address.to_string()));
        let mut server = CertificateParams::new(names)?;
        server
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue("server", &server, &authority)?;

        let mut admin = CertificateParams::default();
        admin.distinguished_name.push(DnType::CommonName, "admin");
        admin
            .distinguished_name
            .push(DnType::OrganizationName, "system:masters");
        admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue("admin", &admin, &authority)?;

        if let Some(node) = node {
            let names = [node.name.clone(), node.address.to_string()];
            let mut kubelet = CertificateParams::new(names)?;
            kubelet
                .distinguished_name
                .push(DnType::CommonName, format!("system:node:{}", node.name));
            kubelet
                .distinguished_name
                .push(DnType::OrganizationName, "system:nodes");
            kubelet.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ClientAuth,
                ExtendedKeyUsagePurpose::ServerAuth,
            ];
            self.issue("kubelet", &kubelet, &authority)?;
        }

        let service_accounts = KeyPair::generate()?;
        self.write("service-accounts.key", &service_accounts.serialize_pem())?;
        self.write("service-accounts.pub", &service_accounts.public_key_pem())
    }

    fn create_authority(&self) -> Result<CertifiedIssuer<'static, KeyPair>> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "testkit");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        self.write("ca.crt", &authority.pem())?;
        Ok(authority)
    }

    fn issue(
        &self,
        name: &str,
        params: &CertificateParams,
        authority: &CertifiedIssuer<'static, KeyPair>,
    ) -> Result<()> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, authority)?;
        self.write(&format!("{name}.crt"), &certificate.pem())?;
        self.write(&format!("{name}.key"), &key.serialize_pem())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Keys are for their owner only.
    fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.file(name);
        fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
            .with_context(|| format!("failed to write {}", path.display()))
    }
}
