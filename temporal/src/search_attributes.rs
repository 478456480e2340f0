//! The search attributes by which people find our workflows, registered by ourselves.

use contracts::names;
use temporalio_client::grpc::OperatorService;
use temporalio_common::protos::temporal::api::enums::v1::IndexedValueType;
use temporalio_common::protos::temporal::api::operatorservice::v1::{
    AddSearchAttributesRequest, ListSearchAttributesRequest,
};

use crate::{Error, Temporal, request};

/// The search attributes that we need; each a Keyword.
pub const REQUIRED: [&str; 2] = [
    names::SEARCH_ATTRIBUTE_ACTIVITY_ID,
    names::SEARCH_ATTRIBUTE_ACTIVITY_NAME,
];

impl Temporal {
    /// Registers the search attributes that are missing in the Temporal namespace, and returns
    /// their names. One that exists with another type is an error: the server would accept the
    /// registration and fail every start.
    pub async fn ensure_search_attributes(&self) -> Result<Vec<&'static str>, Error> {
        let missing = self.missing_search_attributes().await?;
        if missing.is_empty() {
            return Ok(missing);
        }
        let message = AddSearchAttributesRequest {
            namespace: self.namespace(),
            search_attributes: missing
                .iter()
                .map(|name| ((*name).to_owned(), IndexedValueType::Keyword.into()))
                .collect(),
        };
        let mut client = self.client.clone();
        OperatorService::add_search_attributes(&mut client, request(message))
            .await
            .map_err(Error::call("register search attributes"))?;
        Ok(missing)
    }

    /// Registers the search attributes again if a call failed for lack of them, as in a Temporal
    /// namespace that was emptied. True when the call is worth another try.
    pub(crate) async fn repair_search_attributes(&self, error: &Error) -> Result<bool, Error> {
        if error.is_missing_search_attribute() {
            let registered = self.ensure_search_attributes().await?;
            tracing::warn!(
                ?registered,
                "the search attributes were gone; registered them again"
            );
            return Ok(true);
        }
        Ok(false)
    }

    /// The search attributes that are not registered yet.
    pub async fn missing_search_attributes(&self) -> Result<Vec<&'static str>, Error> {
        let message = ListSearchAttributesRequest {
            namespace: self.namespace(),
        };
        let mut client = self.client.clone();
        let present = OperatorService::list_search_attributes(&mut client, request(message))
            .await
            .map_err(Error::call("list search attributes"))?
            .into_inner()
            .custom_attributes;
        let mut missing = Vec::new();
        for name in REQUIRED {
            match present.get(name) {
                None => missing.push(name),
                Some(found) if *found == i32::from(IndexedValueType::Keyword) => {}
                Some(found) => {
                    return Err(Error::SearchAttributeType {
                        name,
                        found: IndexedValueType::try_from(*found)
                            .map_or_else(|_| found.to_string(), |found| format!("{found:?}")),
                    });
                }
            }
        }
        Ok(missing)
    }
}
