//! Leadership: of several replicas, one writes.
//!
//! The Lease is Kubernetes' own kind, used by the rules of client-go: the holder renews it, others
//! take it over when it has not been renewed for its duration. A leader that was stopped (SIGSTOP,
//! a frozen node) wakes up without knowing that time has passed, so it looks at its own clock
//! before each write ([`Leadership::check`]) and ends its process when its time is up. To start
//! over clean is left to Kubernetes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use runtime::{Backoff, Shutdown};

use crate::Error;

const LEASE_NAME: &str = "actcore-operator";

/// How long a waiting replica lets pass at most before it looks at the Lease again: client-go's
/// retry period. A long Lease would otherwise delay the take-over of one that was handed over.
const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// How long handing the Lease over may take. Kubernetes ends a Pod some time after it was told to
/// stop, and there is no other use for that time.
const RELEASE_WITHIN: Duration = Duration::from_secs(10);

/// Whether this replica may write. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leadership {
    valid_until: Arc<Mutex<Option<Instant>>>,
}

impl Leadership {
    fn new() -> Self {
        Self {
            valid_until: Arc::default(),
        }
    }

    /// Refuses when this replica's lease may have passed to another.
    pub fn check(&self) -> Result<(), Error> {
        let valid_until = *self.lock();
        if valid_until.is_some_and(|end| Instant::now() < end) {
            Ok(())
        } else {
            Err(Error::LeadershipLost)
        }
    }

    fn extend(&self, until: Instant) {
        *self.lock() = Some(until);
    }

    fn give_up(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.valid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Competes for the Lease and keeps it.
pub(crate) struct Elector {
    leases: Api<Lease>,
    identity: String,
    duration: Duration,
    leadership: Leadership,
}

/// What to do about a Lease, given what it says and how long it has said so.
#[derive(Debug, PartialEq, Eq)]
enum Bid {
    Create,
    /// Ours already, or free: write our name.
    Take,
    /// Somebody else's, and valid.
    Wait,
}

/// Decides on a bid. `unchanged_for` is how long we have seen the Lease as it is, by our own
/// clock: the clocks of two machines are never compared.
fn bid(lease: Option<&LeaseSpec>, identity: &str, unchanged_for: Duration) -> Bid {
    let Some(lease) = lease else {
        return Bid::Create;
    };
    let holder = lease.holder_identity.as_deref().unwrap_or_default();
    let duration = lease.lease_duration_seconds.unwrap_or_default();
    let duration = Duration::from_secs(u64::try_from(duration).unwrap_or_default());
    if holder.is_empty() || holder == identity || unchanged_for >= duration {
        Bid::Take
    } else {
        Bid::Wait
    }
}

impl Elector {
    /// An elector for the replica called `identity`.
    pub(crate) fn new(
        client: Client,
        namespace: &str,
        identity: String,
        duration: Duration,
    ) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            identity,
            duration,
            leadership: Leadership::new(),
        }
    }

    /// This replica's leadership, for whoever writes.
    pub(crate) fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits until this replica is the leader; false when the process is to stop first.
    pub(crate) async fn acquire(&self, shutdown: &Shutdown) -> bool {
        let mut seen: Option<(Option<String>, Instant)> = None;
        loop {
            let trying = self.soon(self.try_acquire(&mut seen));
            match trying.await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "unable to compete for the leader's Lease"
                ),
            }
            if !shutdown.sleep(RETRY_PERIOD.min(self.duration / 5)).await {
                return false;
            }
        }
    }

    /// Renews the Lease until the process is to stop, then hands it over. Returns early, with
    /// false, when the Lease was lost: then this process must not write any more.
    pub(crate) async fn keep(&self, shutdown: &Shutdown) -> bool {
        while shutdown.sleep(self.duration / 3).await {
            if self.leadership.check().is_err() {
                return false;
            }
            match self.soon(self.renew()).await {
                Ok(true) => {}
                Ok(false) => {
                    self.leadership.give_up();
                    return false;
                }
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "unable to renew the leader's Lease"
                ),
            }
        }
        true
    }

    /// Hands the Lease over, so that another replica need not wait for its end. Tries until it
    /// succeeds or [`RELEASE_WITHIN`] is over: one refused try would cost the whole Lease.
    pub(crate) async fn release(&self) {
        self.leadership.give_up();
        let releasing = async {
            let mut backoff = Backoff::up_to(RETRY_PERIOD);
            while let Err(error) = self.try_release().await {
                tracing::warn!(
                    error = runtime::describe(&error),
                    "unable to hand the leader's Lease over"
                );
                tokio::time::sleep(backoff.next_delay()).await;
            }
        };
        if tokio::time::timeout(RELEASE_WITHIN, releasing)
            .await
            .is_err()
        {
            tracing::warn!("the next leader waits for the end of the Lease");
        }
    }

    async fn try_release(&self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.leases.get_opt(LEASE_NAME).await? else {
            return Ok(());
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() == Some(&self.identity) {
            spec.holder_identity = None;
            self.leases
                .replace(LEASE_NAME, &PostParams::default(), &lease)
                .await?;
        }
        Ok(())
    }

    /// Gives up what takes so long that the Lease may be over before the next try.
    async fn soon<T>(
        &self,
        asking: impl Future<Output = Result<T, kube::Error>>,
    ) -> anyhow::Result<T> {
        let answered = tokio::time::timeout(self.duration / 3, asking).await;
        Ok(answered.context("the API server does not answer")??)
    }

    async fn try_acquire(
        &self,
        seen: &mut Option<(Option<String>, Instant)>,
    ) -> Result<bool, kube::Error> {
        let lease = self.leases.get_opt(LEASE_NAME).await?;
        let version = lease
            .as_ref()
            .and_then(|lease| lease.metadata.resource_version.clone());
        let since = match seen {
            Some((seen_version, since)) if *seen_version == version => *since,
            _ => Instant::now(),
        };
        *seen = Some((version, since));
        let spec = lease.as_ref().and_then(|lease| lease.spec.as_ref());
        match bid(spec, &self.identity, since.elapsed()) {
            Bid::Wait => Ok(false),
            Bid::Create | Bid::Take => self.write(lease).await,
        }
    }

    async fn renew(&self) -> Result<bool, kube::Error> {
        let lease = self.leases.get_opt(LEASE_NAME).await?;
        let holder = lease
            .as_ref()
            .and_then(|lease| lease.spec.as_ref())
            .and_then(|spec| spec.holder_identity.as_deref());
        if holder != Some(self.identity.as_str()) {
            return Ok(false);
        }
        self.write(lease).await
    }

    /// Writes our name into the Lease; false when another was faster.
    async fn write(&self, lease: Option<Lease>) -> Result<bool, kube::Error> {
        // Counted from before the write: the others count from after it.
        let valid_until = Instant::now() + self.duration;
        let now = MicroTime(Timestamp::now());
        let mut lease = lease.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(LEASE_NAME.to_owned()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default() + 1);
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(self.duration.as_secs()).ok();
        spec.renew_time = Some(now);
        let post = PostParams::default();
        let written = if lease.metadata.resource_version.is_some() {
            self.leases.replace(LEASE_NAME, &post, &lease).await
        } else {
            self.leases.create(&post, &lease).await
        };
        match written {
            Ok(_) => {
                self.leadership.extend(valid_until);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_valid_lease_of_another_is_respected() {
        let theirs = lease("other");
        assert_eq!(bid(Some(&theirs), "me", Duration::from_secs(14)), Bid::Wait);
        assert_eq!(bid(Some(&theirs), "me", Duration::from_secs(15)), Bid::Take);
    }

    #[test]
    fn a_free_or_own_lease_is_taken() {
        assert_eq!(bid(None, "me", Duration::ZERO), Bid::Create);
        assert_eq!(bid(Some(&lease("")), "me", Duration::ZERO), Bid::Take);
        assert_eq!(bid(Some(&lease("me")), "me", Duration::ZERO), Bid::Take);
    }

    #[test]
    fn leadership_ends_by_our_own_clock() {
        let leadership = Leadership::new();
        assert!(leadership.check().is_err());
        leadership.extend(Instant::now() + Duration::from_mins(1));
        assert!(leadership.check().is_ok());
        leadership.extend(Instant::now());
        assert!(leadership.check().is_err());
    }
}
