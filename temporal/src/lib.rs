//! All calls to Temporal that are ours: Schedules, starts of runs, search attributes, and what
//! verification asks.
//!
//! What a Schedule should be is decided by the operator and comes in as a [`ScheduleSpec`]; here
//! it is only put into Temporal's terms. Every call has a deadline, and none is retried here
//! beyond what the client does itself: the callers know better when to try again.

mod error;
mod evidence;
mod look;
mod schedule;
mod search_attributes;
mod start;
mod task_queue;

pub use error::Error;
pub use schedule::{
    ListedSchedule, OBJECT_UID_MEMO, Observed, Pause, PauseOwner, ScheduleAction, ScheduleSpec,
};
pub use search_attributes::REQUIRED as REQUIRED_SEARCH_ATTRIBUTES;
pub use start::{RunStart, Started};
pub use task_queue::WorkQueue;

use std::time::Duration;

use temporalio_client::Client;
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::{IntoRequest, Request};
use temporalio_common::protos::temporal::api::workflowservice::v1::GetSystemInfoRequest;

/// How many Schedules or workflows one page of a listing holds at most.
const PAGE_SIZE: i32 = 1000;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Access to one Temporal namespace. Cheap to clone.
#[derive(Clone)]
pub struct Temporal {
    client: Client,
}

impl std::fmt::Debug for Temporal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Temporal")
            .field("namespace", &self.namespace())
            .finish_non_exhaustive()
    }
}

impl Temporal {
    /// Takes a connected client.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// The connected client, for a worker.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Asks the server for an answer; an error says why there is none.
    pub async fn ping(&self) -> Result<(), Error> {
        let mut client = self.client.clone();
        WorkflowService::get_system_info(&mut client, request(GetSystemInfoRequest {}))
            .await
            .map(|_| ())
            .map_err(Error::call("get system info"))
    }

    fn namespace(&self) -> String {
        use temporalio_client::NamespacedClient as _;
        self.client.namespace()
    }

    fn identity(&self) -> String {
        use temporalio_client::NamespacedClient as _;
        self.client.identity()
    }
}

/// A request with the deadline that every call has.
fn request<T>(message: T) -> Request<T> {
    let mut request = message.into_request();
    request.set_timeout(CALL_TIMEOUT);
    request
}
