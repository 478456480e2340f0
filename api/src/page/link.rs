//! The links of a page: relative, so that a proxy may serve the API below a path. Pure.

use chrono::{Days, NaiveDate};
use serde::Serialize;
use url::form_urlencoded::Serializer;

/// What the overview shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    /// The day.
    pub(super) date: NaiveDate,
    /// Whether it was asked for; else it is today.
    pub(super) is_dated: bool,
    /// Only this namespace.
    pub(super) namespace: Option<String>,
    /// Only names with this in them.
    pub(super) name: Option<String>,
    /// The page of the table, from 1 on.
    pub(super) page: usize,
}

/// The neighbours of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DayLinks {
    previous: String,
    next: String,
    today: String,
}

impl Selection {
    /// The query of a selection.
    pub(super) fn query(&self) -> String {
        let mut query = Serializer::new(String::new());
        if self.is_dated {
            query.append_pair("date", &self.date.to_string());
        }
        for (key, value) in [("namespace", &self.namespace), ("name", &self.name)] {
            if let Some(value) = value {
                query.append_pair(key, value);
            }
        }
        if self.page > 1 {
            query.append_pair("page", &self.page.to_string());
        }
        match query.finish() {
            query if query.is_empty() => "./".to_owned(),
            query => format!("./?{query}"),
        }
    }

    /// The same on another day, from the first page on.
    pub(super) fn on(&self, date: NaiveDate) -> Self {
        Self {
            date,
            is_dated: true,
            page: 1,
            ..self.clone()
        }
    }

    /// Another page of the same.
    pub(super) fn turned_to(&self, page: usize) -> Self {
        Self {
            page,
            ..self.clone()
        }
    }

    /// The days before and after.
    pub(super) fn day_links(&self) -> DayLinks {
        let today = Self {
            is_dated: false,
            page: 1,
            ..self.clone()
        };
        DayLinks {
            previous: self.on(day_before(self.date)).query(),
            next: self.on(day_after(self.date)).query(),
            today: today.query(),
        }
    }
}

/// The day before, as far as there is one.
pub(super) fn day_before(date: NaiveDate) -> NaiveDate {
    date.checked_sub_days(Days::new(1)).unwrap_or(date)
}

/// The day after, as far as there is one.
pub(super) fn day_after(date: NaiveDate) -> NaiveDate {
    date.checked_add_days(Days::new(1)).unwrap_or(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_what_was_asked_for_and_escapes_it() {
        let selection = Selection {
            date: "2026-11-24".parse().unwrap(),
            is_dated: false,
            namespace: Some("team-a".into()),
            name: Some("a&b=\"c\"".into()),
            page: 3,
        };
        assert_eq!(
            selection.query(),
            "./?namespace=team-a&name=a%26b%3D%22c%22&page=3"
        );
        assert_eq!(
            selection.day_links().previous,
            "./?date=2026-11-23&namespace=team-a&name=a%26b%3D%22c%22"
        );
    }

    #[test]
    fn today_needs_no_query() {
        let selection = Selection {
            date: "2026-11-24".parse().unwrap(),
            is_dated: true,
            namespace: None,
            name: None,
            page: 1,
        };
        assert_eq!(selection.day_links().today, "./");
    }
}
