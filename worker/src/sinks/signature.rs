//! Signatures after [Standard Webhooks](https://www.standardwebhooks.com), version v1:
//! HMAC-SHA256 over `<id>.<timestamp>.<body>`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use runtime::Secret;
use sha2::Sha256;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// How long a key may be, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The keys of a webhook: one, or two while one replaces the other. Each signs.
pub(super) struct SigningKeys(Vec<Hmac<Sha256>>);

/// What is wrong with a secret, without anything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no signing secret: write whsec_ and a key of 24 to 64 bytes in base64")]
pub(crate) struct InvalidSecret;

impl SigningKeys {
    /// Reads a secret: one or more of `whsec_<base64>`, with white space between them.
    pub(super) fn parse(secret: &Secret) -> Result<Self, InvalidSecret> {
        let keys = secret.expose().split_whitespace().map(key);
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(InvalidSecret);
        }
        Ok(Self(keys))
    }

    /// The headers of a message. `id` must be the same for every try, and hold no full stop.
    pub(super) fn headers(
        &self,
        id: &str,
        now: DateTime<Utc>,
        body: &str,
    ) -> [(&'static str, String); 3] {
        let timestamp = now.timestamp().to_string();
        let signatures: Vec<String> = self
            .0
            .iter()
            .map(|key| {
                let mut mac = key.clone();
                for part in [id, ".", &timestamp, ".", body] {
                    mac.update(part.as_bytes());
                }
                format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
            })
            .collect();
        [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signatures.join(" ")),
        ]
    }
}

fn key(text: &str) -> Result<Hmac<Sha256>, InvalidSecret> {
    let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
    let key = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
    if !KEY_BYTES.contains(&key.len()) {
        return Err(InvalidSecret);
    }
    Hmac::new_from_slice(&key).map_err(|_| InvalidSecret)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn signature(secret: &str) -> String {
        let keys = SigningKeys::parse(&Secret::new(secret)).unwrap();
        let now = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let [id, timestamp, signature] = keys.headers(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            now,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(id.1, "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(timestamp.1, "1614265330");
        signature.1
    }

    #[test]
    fn a_signature_is_that_of_the_specification() {
        assert_eq!(signature(SECRET), SIGNATURE);
    }

    #[test]
    fn while_a_key_is_replaced_both_sign() {
        let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let both = signature(&format!("{SECRET} {other}"));
        assert_eq!(both, format!("{SIGNATURE} {}", signature(other)));
    }

    #[test]
    fn a_secret_of_no_use_is_refused_without_being_shown() {
        for text in ["", "canary", "whsec_", "whsec_Y2FuYXJ5", "whsec_!"] {
            let refused = SigningKeys::parse(&Secret::new(text)).err().unwrap();
            assert!(!refused.to_string().contains("canary"));
        }
    }
}
