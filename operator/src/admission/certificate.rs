//! The webhook's certificate: made, never bought. A fresh authority signs each certificate and is
//! then forgotten, so that there is no key to steal.
//!
//! A certificate lives 90 days and is replaced after 60. The authority of the one before stays
//! trusted, because another replica may serve its certificate for a while.

use chrono::{DateTime, Duration, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

const LIFETIME: Duration = Duration::days(90);
const RENEW_AFTER: Duration = Duration::days(60);

/// A certificate with everything that serving and trusting it takes, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The authorities to trust: the one that signed, and the one before.
    pub authorities: String,
    /// The certificate.
    pub chain: String,
    /// Its private key.
    pub key: String,
    /// When it is to be replaced.
    pub renew_at: DateTime<Utc>,
}

impl Certificate {
    /// When it ends.
    pub(super) fn expires_at(&self) -> DateTime<Utc> {
        self.renew_at + (LIFETIME - RENEW_AFTER)
    }
}

impl std::fmt::Debug for Certificate {
    /// Without the key.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Certificate")
            .field("renew_at", &self.renew_at)
            .finish_non_exhaustive()
    }
}

/// Makes a certificate for `host_names`. `previous` are the authorities that were trusted before;
/// the newest of them stays trusted.
pub(super) fn make(
    host_names: &[String],
    previous: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Certificate, rcgen::Error> {
    let authority = CertifiedIssuer::self_signed(authority(now), KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = server(host_names, now)?.signed_by(&key, &authority)?;
    let newest_before = previous.and_then(first_certificate).unwrap_or_default();
    Ok(Certificate {
        authorities: format!("{}{newest_before}", authority.pem()),
        chain: certificate.pem(),
        key: key.serialize_pem(),
        renew_at: now + RENEW_AFTER,
    })
}

fn authority(now: DateTime<Utc>) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters
        .distinguished_name
        .push(DnType::CommonName, "activity-core webhook authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    set_validity(&mut parameters, now);
    parameters
}

fn server(host_names: &[String], now: DateTime<Utc>) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(host_names)?;
    parameters
        .distinguished_name
        .push(DnType::CommonName, "actcore-operator");
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    set_validity(&mut parameters, now);
    Ok(parameters)
}

fn set_validity(parameters: &mut CertificateParams, now: DateTime<Utc>) {
    // An hour back, for API servers whose clock is behind.
    parameters.not_before = (std::time::SystemTime::from(now - Duration::hours(1))).into();
    parameters.not_after = (std::time::SystemTime::from(now + LIFETIME)).into();
}

/// The first certificate of a PEM bundle.
fn first_certificate(bundle: &str) -> Option<&str> {
    const END: &str = "-----END CERTIFICATE-----\n";
    let end = bundle.find(END)? + END.len();
    Some(&bundle[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(bundle: &str) -> usize {
        bundle.matches("BEGIN CERTIFICATE").count()
    }

    #[test]
    fn the_authority_before_stays_trusted_and_no_older_one() {
        let now = Utc::now();
        let names = ["actcore-operator-webhook.activity-core.svc".to_owned()];
        let first = make(&names, None, now).unwrap();
        assert_eq!(count(&first.authorities), 1);
        let second = make(&names, Some(&first.authorities), now).unwrap();
        assert_eq!(count(&second.authorities), 2);
        assert!(second.authorities.ends_with(&first.authorities));
        let third = make(&names, Some(&second.authorities), now).unwrap();
        assert_eq!(count(&third.authorities), 2);
        assert!(!third.authorities.contains(&first.authorities));
    }

    #[test]
    fn a_certificate_is_replaced_long_before_it_ends() {
        let now = Utc::now();
        let certificate = make(&["localhost".to_owned()], None, now).unwrap();
        assert_eq!(certificate.renew_at, now + RENEW_AFTER);
        assert_eq!(certificate.expires_at(), now + LIFETIME);
        assert!(RENEW_AFTER < LIFETIME);
    }

    #[test]
    fn a_key_is_never_printed() {
        let certificate = make(&["localhost".to_owned()], None, Utc::now()).unwrap();
        assert!(!format!("{certificate:?}").contains("PRIVATE"));
    }
}
