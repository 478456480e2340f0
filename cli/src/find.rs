//! Finding a definition by the name that a person uses.

use domain::ActivityId;
use store::{MirrorRow, Store};

use crate::connections::answer;
use crate::exit::Problem;

/// The definition that somebody means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'text> {
    /// Its object name, display name or activity id.
    pub(crate) name: &'text str,
    /// Its namespace; any when `None`.
    pub(crate) namespace: Option<&'text str>,
}

/// One that could be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) activity: Option<ActivityId>,
}

impl Wanted<'_> {
    /// The only one of several, or an error that lists them.
    pub(crate) fn only<T>(
        &self,
        mut found: Vec<T>,
        candidate: impl Fn(&T) -> Candidate,
    ) -> Result<T, Problem> {
        if let Some(namespace) = self.namespace {
            found.retain(|one| candidate(one).namespace == namespace);
        }
        match found.len() {
            1 => found.pop().ok_or_else(|| self.not_found()),
            0 => Err(self.not_found()),
            _ => {
                let listed: Vec<String> =
                    found.iter().map(|one| candidate(one).to_string()).collect();
                Err(Problem::usage(format!(
                    "several definitions are called \"{}\": {}; name one with -n NAMESPACE or by \
                     its id",
                    self.name,
                    listed.join(", ")
                )))
            }
        }
    }

    fn not_found(&self) -> Problem {
        let place = match self.namespace {
            Some(namespace) => format!(" in namespace {namespace}"),
            None => String::new(),
        };
        Problem::usage(format!(
            "no definition is called \"{}\"{place}; `actcore get -A` lists them all",
            self.name
        ))
    }
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)?;
        match self.activity {
            Some(activity) => write!(formatter, " ({activity})"),
            None => Ok(()),
        }
    }
}

/// The one in the mirror.
pub(crate) async fn in_mirror(store: &Store, wanted: Wanted<'_>) -> Result<MirrorRow, Problem> {
    let found = match wanted.name.parse::<ActivityId>() {
        Ok(activity) => {
            let row = answer("Postgres", store.definition(activity)).await?;
            row.into_iter().collect()
        }
        Err(_) => answer("Postgres", store.definitions_named(wanted.name)).await?,
    };
    wanted.only(found, |row| Candidate {
        namespace: row.namespace.clone(),
        name: row.name.clone(),
        activity: Some(ActivityId::new(row.activity_id)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates() -> Vec<Candidate> {
        ["a", "b"]
            .map(|namespace| Candidate {
                namespace: namespace.to_owned(),
                name: "daily".to_owned(),
                activity: Some(ActivityId::new(uuid::Uuid::from_u128(1))),
            })
            .into()
    }

    fn only(namespace: Option<&str>) -> Result<Candidate, Problem> {
        let wanted = Wanted {
            name: "daily",
            namespace,
        };
        wanted.only(candidates(), Candidate::clone)
    }

    #[test]
    fn several_namesakes_are_listed_with_their_namespaces_and_ids() {
        let error = only(None).unwrap_err().to_string();
        let id = "00000000-0000-0000-0000-000000000001";
        assert!(error.contains(&format!("a/daily ({id})")), "{error}");
        assert!(error.contains(&format!("b/daily ({id})")), "{error}");
        assert_eq!(only(Some("b")).unwrap().namespace, "b");
        assert!(only(Some("c")).is_err());
    }
}
