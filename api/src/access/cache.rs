//! Tokens that were found good a moment ago, so that not every request costs a TokenReview. Tokens
//! are kept as hashes only. A token that is revoked is accepted for a minute more at most.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::UserInfo;
use sha2::{Digest as _, Sha256};

/// How long a token counts as good without being asked about again.
const LIFETIME: Duration = Duration::from_mins(1);

/// How many tokens are remembered.
const CAPACITY: usize = 1024;

/// A token's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token.
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// Good tokens and their users.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    users: HashMap<TokenHash, (UserInfo, Instant)>,
}

impl TokenCache {
    /// The user of a token that was found good less than a minute before `now`.
    pub(super) fn get(&self, hash: &TokenHash, now: Instant) -> Option<UserInfo> {
        let (user, since) = self.users.get(hash)?;
        (now.saturating_duration_since(*since) < LIFETIME).then(|| user.clone())
    }

    /// Remembers a token that was found good.
    pub(super) fn insert(&mut self, hash: TokenHash, user: UserInfo, now: Instant) {
        if self.users.len() >= CAPACITY {
            self.users
                .retain(|_, (_, since)| now.saturating_duration_since(*since) < LIFETIME);
        }
        // Still full: more users than expected. Asking again costs them little.
        if self.users.len() >= CAPACITY {
            self.users.clear();
        }
        self.users.insert(hash, (user, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_token_is_asked_about_again_after_a_minute() {
        let mut cache = TokenCache::default();
        let (hash, start) = (TokenHash::of("a"), Instant::now());
        cache.insert(hash, UserInfo::default(), start);
        assert!(cache.get(&hash, start + Duration::from_secs(59)).is_some());
        assert!(cache.get(&hash, start + Duration::from_mins(1)).is_none());
        assert!(cache.get(&TokenHash::of("b"), start).is_none());
    }

    #[test]
    fn the_cache_never_outgrows_its_capacity() {
        let mut cache = TokenCache::default();
        let now = Instant::now();
        for number in 0..3 * CAPACITY {
            cache.insert(TokenHash::of(&number.to_string()), UserInfo::default(), now);
            assert!(cache.users.len() <= CAPACITY);
        }
    }
}
